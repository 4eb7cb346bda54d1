use proptest::prelude::*;

use super::*;

fn read(header: &str) -> Option<String> {
    delivered(header.as_bytes()).map(|date| date.to_string())
}

#[test]
fn dates_of_the_standard_and_of_the_wild_are_read() {
    for (text, expected) in [
        (
            "Fri, 21 Nov 1997 09:55:06 -0600",
            "1997-11-21T09:55:06-06:00",
        ),
        ("21 Nov 1997 09:55:06 -0600", "1997-11-21T09:55:06-06:00"),
        ("21 Nov 97 09:55:06 GMT", "1997-11-21T09:55:06+00:00"),
        ("Fri, 21 Nov 97 09:55 EST", "1997-11-21T09:55:00-05:00"),
        ("21 Nov 02 09:55 PDT", "2002-11-21T09:55:00-07:00"),
        (
            "Fri, 21 Nov 1997 09(comment):   55  :  06 -0600",
            "1997-11-21T09:55:06-06:00",
        ),
        (
            "Fri, 21 Nov 1997 09:55:06 -0600 (CST (not CDT))",
            "1997-11-21T09:55:06-06:00",
        ),
        (
            "(sent) Fri, 21 Nov 1997 09:55:06 +0530 (a \\) b)",
            "1997-11-21T09:55:06+05:30",
        ),
        (
            "Fri, 21 Nov 1997 09:55:06 -0600 (never closed",
            "1997-11-21T09:55:06-06:00",
        ),
        (
            "Fri, 21 Nov 1997\r\n\t09:55:06 CEST",
            "1997-11-21T09:55:06+02:00",
        ),
        ("Fri, 21 Nov 1997 09:55:06", "1997-11-21T09:55:06+00:00"),
        (
            "Fri, 21 Nov 1997 09:55:06 -0000",
            "1997-11-21T09:55:06+00:00",
        ),
        (
            "Fri, 21 Nov 1997 09:55:06 Somewhere",
            "1997-11-21T09:55:06+00:00",
        ),
        (
            "Fri, 21 Nov 1997 09:55:06 GMT+0200",
            "1997-11-21T09:55:06+02:00",
        ),
        (
            "Fri, 21 Nov 1997 09:55:06+02:00",
            "1997-11-21T09:55:06+02:00",
        ),
        ("Fri, 21 Nov 1997 09:55:06 +2", "1997-11-21T09:55:06+02:00"),
        ("Fri, 21 Nov 1997 09:55:06Z", "1997-11-21T09:55:06+00:00"),
        (
            "Fri, 21 Nov 1997 09:55:06.789 -0600",
            "1997-11-21T09:55:06-06:00",
        ),
        (
            "Fri,21 Nov 1997 09:55:06 -0600",
            "1997-11-21T09:55:06-06:00",
        ),
        ("Fri Nov 21 09:55:06 1997", "1997-11-21T09:55:06+00:00"),
        ("Fri Nov 21 09:55:06 EST 1997", "1997-11-21T09:55:06-05:00"),
        ("21-Nov-97 09:55:06 +0100", "1997-11-21T09:55:06+01:00"),
        ("November 21, 1997 09:55:06", "1997-11-21T09:55:06+00:00"),
        (
            "Thu, 3 Sept. 1998 9:55:06 PM -0500",
            "1998-09-03T21:55:06-05:00",
        ),
        ("Thu, 3 Sep 1998 12:05:06 AM", "1998-09-03T00:05:06+00:00"),
        ("Mon, 5 Jan 103 09:55:06 -0600", "2003-01-05T09:55:06-06:00"),
        (
            "mar., 05 Feb 2002 10:00:00 +0100",
            "2002-02-05T10:00:00+01:00",
        ),
        (
            "Sat, 31 Dec 2016 23:59:60 +0000",
            "2016-12-31T23:59:59+00:00",
        ),
        (
            "Thu, 1 Jan 1970 00:00:00 +0100",
            "1970-01-01T00:00:00+01:00",
        ),
        (
            "Fri, 31 Dec 2100 00:00:00 +0000",
            "2100-12-31T00:00:00+00:00",
        ),
        ("Wed, 31 Dec 1969 00:00:00 +0000", ""),
        ("Sat, 1 Jan 2101 00:00:00 +0000", ""),
        ("Thu, 1 Jan 20022 00:00:00 +0000", ""),
        ("Thu, 30 Feb 2002 00:00:00 +0000", ""),
        ("Thu, 1 Foo 2002 00:00:00 +0000", ""),
        ("Thu, 1 Feb 2002 24:00:00 +0000", ""),
        ("Thu, 1 Feb 2002 10:60:00 +0000", ""),
        ("Thu, 1 Feb 2002 10:00:61 +0000", ""),
        ("Thu, 1 Feb 2002 10:00:00 +9900", ""),
        (
            "Mon, 5 Jan 0103 09:55:06 -0600",
            "2003-01-05T09:55:06-06:00",
        ),
        ("Thu, 1 Feb 2002 10:00:00 +-+100", ""),
        (
            "Thu, 1 Feb 2002 10:00:00 +-0100",
            "2002-02-01T10:00:00-01:00",
        ),
        ("Thu, 1 Feb 2002 10:00:00 +\u{fc}", ""),
        (
            "(a \\) 3 Jan 2001 08:00) 21 Nov 1997 09:55:06 -0600",
            "1997-11-21T09:55:06-06:00",
        ),
        ("Thu, 1 Feb 2002 +0000", ""),
        ("10:00:00 +0000", ""),
        ("2002", ""),
        (",", ""),
        ("", ""),
    ] {
        let expected = (!expected.is_empty()).then(|| expected.to_owned());
        assert_eq!(read(&format!("Date: {text}\r\n\r\n")), expected, "{text}");
        // The same text behind the semicolon of a Received field.
        let received = format!("Received: from a (b; c) by d;\r\n\t{text}\r\n\r\n");
        assert_eq!(read(&received), expected, "{text}");
    }
}

#[test]
fn the_topmost_received_goes_before_date_and_what_cannot_be_read_is_passed_over() {
    const DATE: &str = "Date: Thu, 2 May 2002 10:00:00 +0200\n";
    let date = Some("2002-05-02T10:00:00+02:00".to_owned());
    let first = Some("2002-05-03T10:00:00+00:00".to_owned());
    for (header, expected) in [
        (
            "received: by a; Fri, 3 May 2002 10:00 GMT\nReceived: by b; Sat, 4 May 2002 10:00 GMT\n",
            &first,
        ),
        (
            "RECEIVED : (qmail 210 by uid 0; x); 3 May 2002 10:00:00 -0000\n",
            &first,
        ),
        (
            "Received: from a (b (c; d); by e; Fri, 3 May 2002 10:00:00 +0000 (X)\n",
            &first,
        ),
        (
            "Received: by a for <;>; Fri, 3 May 2002 10:00:00 +0000 (X; Y)\n",
            &first,
        ),
        // The second Received is an earlier hop and no candidate.
        (
            "Received: by a; rubbish\nReceived: by b; Fri, 3 May 2002 10:00 GMT\n",
            &date,
        ),
        ("Received: by a; Fri, 3 May 1902 10:00:00 +0000\n", &date),
        ("Received: by a on Fri, 3 May 2002 10:00:00 +0000\n", &date),
        ("Received: by a;\n", &date),
        ("Received:\n", &date),
        ("", &date),
    ] {
        assert_eq!(read(&format!("{header}{DATE}\n")), *expected, "{header}");
        assert_eq!(read(&format!("{DATE}{header}\n")), *expected, "{header}");
    }
    let twice = format!("{DATE}Date: Fri, 3 May 2002 10:00 GMT\n\n");
    assert_eq!(read(&twice), date);
    assert_eq!(
        read("Date: never\nDate: Fri, 3 May 2002 10:00 GMT\n\n"),
        None
    );
    assert_eq!(
        read("Subject: x\n\nDate: Fri, 3 May 2002 10:00 GMT\n"),
        None
    );
    assert_eq!(read("Delivery-Date: Fri, 3 May 2002 10:00 GMT\n\n"), None);
    assert_eq!(delivered(b""), None);
}

proptest! {
    #[test]
    fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = delivered(&[b"Received: by a;", &bytes[..], b"\n\n"].concat());
    }

    /// Rubbish of the letters that dates are made of gets further than plain bytes do.
    #[test]
    fn any_words_are_read(text in "[0-9A-Za-z:;,.()+\\\\ -]{0,60}") {
        if let Some(date) = delivered(format!("Date: {text}\n\n").as_bytes()) {
            let year: u16 = date.to_string().split('-').next().unwrap().parse().unwrap();
            prop_assert!(YEARS.contains(&year));
        }
    }

    #[test]
    fn what_is_written_is_read(unix in 0..4_000_000_000_i64, minutes in -1439..1440_i16) {
        let date = InternalDate { unix, offset_minutes: minutes };
        let text = date.to_string();
        let mut words = text.split(['-', 'T', '+']);
        let mut word = || words.next().unwrap();
        let (year, month, day, time) = (word(), word(), word(), word());
        let month = MONTHS[month.parse::<usize>().unwrap() - 1];
        let month: String = month.chars().take(3).collect();
        let (sign, off) = (if minutes < 0 { '-' } else { '+' }, minutes.abs());
        let zone = format!("{sign}{:02}{:02}", off / 60, off % 60);
        let written = format!("{day} {month} {year} {time} {zone}");
        let expected = YEARS.contains(&year.parse().unwrap()).then_some(date);
        prop_assert_eq!(delivered(format!("Date: {written}\n\n").as_bytes()), expected);
    }
}
