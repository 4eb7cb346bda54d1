//! Many small runs against one: how much space the whole archive takes.

use std::fmt::Write as _;

use mailstow::store::RepackPolicy;

use super::*;

/// Numbers that are the same every time.
fn numbers(from: u64) -> impl FnMut(u64) -> u64 {
    let mut seed = from.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    move |below| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed >> 11) % below
    }
}

/// Mail as people write it: few senders, each with a signature and a disclaimer, and words of a
/// skewed choice. Always the same for the same number.
fn mail(n: u32) -> Vec<u8> {
    let mut random = numbers(u64::from(n));
    let (thread, sender) = (n / 7, random(25));
    let mut text = format!(
        "Received: from mx{}.example.net (mx{}.example.net [192.0.2.{}]) by mail.example.org with ESMTPS id {:x}\r\n\
         Message-ID: <{:x}.{:x}@host{sender}.example.net>\r\nFrom: Person {sender} <person{sender}@example.net>\r\n\
         To: Ada <ada@example.org>\r\nSubject: Re: matter {thread} of the {}\r\nDate: Mon, {} Jan 2024 10:{:02}:{:02} +0100\r\n\
         MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n",
        random(4),
        random(4),
        random(250),
        random(u64::MAX),
        random(u64::MAX),
        random(u64::MAX),
        random(30),
        random(28) + 1,
        random(60),
        random(60),
    );
    for line in 0..5 + random(40) {
        if line % 3 == 1 {
            text.push_str("> ");
        }
        for _ in 0..10 {
            // Few words are used often.
            let word = random(60) * random(60);
            write!(text, "w{:x} ", word * 7919 % 3571).unwrap();
        }
        text.push_str("\r\n");
    }
    let mut random = numbers(1_000_000 + sender);
    for _ in 0..100 {
        write!(text, "{:x} ", random(1 << 40)).unwrap();
    }
    text.push_str("\r\n");
    text.into_bytes()
}

fn size(root: &Path) -> u64 {
    support::archive_state::files(root)
        .values()
        .map(|bytes| bytes.len() as u64)
        .sum()
}

/// So many runs of so many messages each; gives the bytes of the archive, all of it.
fn archive(
    runs: u32,
    each: u32,
    policy: Option<&RepackPolicy>,
    mail: &dyn Fn(u32) -> Vec<u8>,
) -> u64 {
    let mut nights = Nights::new();
    for run in 0..runs {
        let mut night = nights.begin();
        let inbox = night.mailbox("INBOX", Some(1));
        for n in run * each..(run + 1) * each {
            night.arrive(inbox, imap(1, n + 1), n, &[], mail(n));
            if night.writer.is_due() {
                night.commit();
            }
        }
        night.commit();
        if let Some(policy) = policy {
            night.writer.repack(policy, &never).unwrap();
        }
        night.end(0);
    }
    let root = nights.root();
    assert_sound(&root);
    let size = size(&root);
    println!(
        "{runs} runs of {each}: {size} bytes, {} segments",
        segments(&root).len()
    );
    size
}

#[test]
fn many_small_runs_take_at_most_two_fifths_more_than_one() {
    let policy = RepackPolicy::default();
    let many = archive(300, 3, Some(&policy), &mail);
    let one = archive(1, 900, Some(&policy), &mail);
    let ratio = many as f64 / one as f64;
    println!("ratio {ratio:.3}");
    assert!(ratio <= 1.4, "{ratio:.3}");
    let without = archive(300, 3, None, &mail) as f64 / one as f64;
    println!("without repacking {without:.3}");
    assert!(without > 1.4, "the test shows nothing: {without:.3}");
}

/// The figure itself, over a folder of real messages, one a file:
/// `MAILSTOW_MAIL=FOLDER cargo test --release --features testing --test repack -- --ignored --nocapture`
#[test]
#[ignore = "a year of nights over real mail; see above"]
fn a_year_of_nights_takes_at_most_two_fifths_more_than_one_run() {
    let folder = std::env::var("MAILSTOW_MAIL").expect("MAILSTOW_MAIL names a folder of messages");
    let mut all: Vec<Vec<u8>> = support::archive_state::files(Path::new(&folder))
        .into_values()
        .collect();
    let nights = 365;
    let each = (all.len() as u32 / nights).min(30);
    all.truncate((nights * each) as usize);
    let mail = |n: u32| all[n as usize].clone();
    let policy = RepackPolicy::default();
    let many = archive(nights, each, Some(&policy), &mail);
    let one = archive(1, nights * each, Some(&policy), &mail);
    let without = archive(nights, each, None, &mail);
    println!(
        "{nights} nights of {each}: {:.3} of one run; without repacking {:.3}",
        many as f64 / one as f64,
        without as f64 / one as f64
    );
    assert!(many as f64 <= 1.4 * one as f64);
}
