//! LIST and UIDL as servers answer them.

use super::*;

/// The listing of a server that answers LIST and UIDL with these lines.
async fn listed(list: &str, uidl: &str) -> Result<Listing, Pop3Error> {
    let lines = |text: &str| {
        text.lines()
            .map(|line| format!("S: {line}\n"))
            .collect::<String>()
    };
    let script = format!("C: LIST\nC: UIDL\n{}{}", lines(list), lines(uidl));
    signed_in(&script).await.list().await
}

#[tokio::test]
async fn numbers_of_either_list_count_and_odd_lines_do_not() {
    let list =
        "+OK\n2 20\n1 10 octets\n2 99\n\nx 1\n-1 5\n0 5\n99999999999 5\n7\n8 huge\n..\n.9 9\n.";
    let uidl = "+OK\n1 \n2 a  b/../c\t \n2 other\n5 \\xfc\n7 \u{fc}\n8 7.8\n10 \\xef\\x9e\\x80\n.";
    let listing = listed(list, uidl).await.unwrap();
    let expected = [
        offered(1, Some(10), None),
        offered(2, Some(20), Some("a  b/../c")),
        offered(5, None, Some("\u{f7fc}")),
        offered(7, None, Some("ü")),
        offered(8, None, Some("7.8")),
        offered(9, Some(9), None),
        offered(10, None, Some("\u{f7ef}\u{f79e}\u{f780}")),
    ];
    assert_eq!(listing.messages, expected);
    assert!(listing.uidl);
    let long = "x".repeat(60_000);
    let listing = listed("+OK\n.", &format!("+OK\n1 {long}\n."))
        .await
        .unwrap();
    assert_eq!(listing.messages, [offered(1, None, Some(&long))]);
    let error = listed("+OK\n.", &format!("+OK\n1 {long}{long}\n."))
        .await
        .unwrap_err();
    assert!(matches!(error, Pop3Error::LineTooLong { .. }), "{error:?}");
}

#[tokio::test]
async fn either_command_may_be_refused_but_not_both() {
    let listing = listed("+OK\n1 10\n.", "-ERR unknown command")
        .await
        .unwrap();
    assert_eq!(listing.messages, [offered(1, Some(10), None)]);
    assert!(!listing.uidl);
    let listing = listed("-ERR broken", "+OK\n1 a\n.").await.unwrap();
    assert_eq!(listing.messages, [offered(1, None, Some("a"))]);
    assert!(listing.uidl);
    let listing = listed("+OK\n.", "+OK\n.").await.unwrap();
    assert_eq!((listing.messages.len(), listing.uidl), (0, true));
    let error = listed("-ERR [SYS/TEMP] no", "-ERR no").await.unwrap_err();
    assert!(
        matches!(&error, Pop3Error::Refused { command: "LIST", words } if words == "[SYS/TEMP] no"),
        "{error:?}"
    );
    let error = listed("* what", "").await.unwrap_err();
    assert!(matches!(&error, Pop3Error::Parse { command: "LIST", line } if line == "* what"));
}

#[tokio::test]
async fn without_pipelining_each_command_waits_for_its_turn() {
    let lists =
        "C: LIST\nQ: UIDL\nS: +OK\nQ: UIDL\nS: 1 5\nS< .\\n\nC: UIDL\nS: +OK\nS: 1 a\nS: .\n";
    let mut old = session(&format!("{OLD}{lists}")).await.unwrap();
    assert_eq!(
        old.list().await.unwrap().messages,
        [offered(1, Some(5), Some("a"))]
    );
    let mut forbidden = signed_in(lists).await;
    forbidden.forbid_pipelining();
    assert_eq!(forbidden.list().await.unwrap().messages.len(), 1);
}

#[tokio::test]
async fn a_listing_waits_for_no_answer_of_another_command() {
    let mut session =
        signed_in("C: DELE 1\nS: +OK\nC: LIST\nC: UIDL\nS: +OK\nS: .\nS: +OK\nS: .\n").await;
    session.ask(Ask::Dele(1));
    let error = session.list().await.unwrap_err();
    assert!(matches!(error, Pop3Error::AnswersOutstanding), "{error:?}");
    assert_eq!(
        answers(&mut session).await.unwrap(),
        [(Ask::Dele(1), "done".into())]
    );
    assert!(session.list().await.unwrap().messages.is_empty());
}

#[tokio::test]
async fn a_hundred_thousand_messages_are_listed() {
    let count = 100_000;
    let script = |line: &dyn Fn(u32) -> String| {
        let lines: String = (1..=count)
            .map(|n| format!("{n} {}\\r\\n", line(n)))
            .collect();
        format!("S< +OK\\r\\n{lines}.\\r\\n\n")
    };
    let sizes = script(&|n| format!("{}", n + 7));
    let ids = script(&|n| format!("{n:08x}.{:024}", n * 3));
    let mut session = signed_in(&format!("C: LIST\nC: UIDL\n{sizes}{ids}")).await;
    let listing = session.list().await.unwrap();
    assert_eq!(listing.messages.len(), 100_000);
    assert!(listing.messages.iter().zip(1..).all(|(message, n)| {
        let id = format!("{n:08x}.{:024}", n * 3);
        *message == offered(n, Some(u64::from(n) + 7), Some(&id))
    }));
}
