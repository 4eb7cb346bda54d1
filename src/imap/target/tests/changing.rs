//! Flags, labels and moves.

use super::*;

#[tokio::test]
async fn flags_and_labels_are_set_on_what_is_selected() {
    let script = "C: m2 UID STORE 1:3,9 +FLAGS.SILENT (Work \\Seen)\nS: * 1 FETCH (MODSEQ (7))\nS: m2 OK\n\
                  C: m3 UID STORE 9 -FLAGS.SILENT (Work \\Seen)\nS: m3 OK\n\
                  C: m4 UID STORE 9 +X-GM-LABELS (\\Inbox \"a \\\"b\" \"&ZeVnLIqe-\" {2}\n\
                  S: +\nC: \u{fc} \"\\\\a b\")\nS: m4 OK\n\
                  C: m5 UID STORE 9 +FLAGS.SILENT (\\Seen)\nS: m5 NO read only\n";
    let (mut session, peer) = target("", script).await;
    let flags = Flags::from_wire(["\\SEEN", "Work"]);
    let four = uids(&[1, 2, 3, 9]);
    session
        .store_flags(&four, StoreFlags::Add, &flags)
        .await
        .unwrap();
    let none = Flags::default();
    let nine = uids(&[9]);
    session
        .store_flags(&nine, StoreFlags::Add, &none)
        .await
        .unwrap();
    session
        .store_flags(&nine, StoreFlags::Remove, &none)
        .await
        .unwrap();
    session
        .store_flags(&nine, StoreFlags::Remove, &flags)
        .await
        .unwrap();
    let labels = ["\\Inbox", "a \"b", "&ZeVnLIqe-", "\u{fc}", "\\a b"].map(str::to_owned);
    session.store_labels(&nine, &labels).await.unwrap();
    session.store_labels(&nine, &[]).await.unwrap();
    let seen = Flags::from_wire(["\\Seen"]);
    let error = session
        .store_flags(&nine, StoreFlags::Add, &seen)
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            ImapError::No {
                command: "UID STORE",
                ..
            }
        ),
        "{error:?}"
    );
    peer.had_its_way(session).await;
    // A long set is cut into commands of their own.
    let long: Vec<u32> = (1..200).map(|n| n * 10_000_000).collect();
    let long = uids(&long);
    let sets: Vec<String> = crate::imap::listing::split(&long)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert!(sets.len() > 1);
    let script: String = (2..)
        .zip(&sets)
        .map(|(n, set)| format!("C: m{n} UID STORE {set} +FLAGS.SILENT (\\Seen)\nS: m{n} OK\n"))
        .collect();
    let (mut session, peer) = target("", &script).await;
    session
        .store_flags(&long, StoreFlags::Add, &seen)
        .await
        .unwrap();
    peer.had_its_way(session).await;
}

#[tokio::test]
async fn a_moved_message_is_where_the_server_says_of_that_message() {
    for (answer, found) in [
        (
            "S: * OK [COPYUID 5 3 8] x\nS: * 1 EXPUNGE\nS: m2 OK done\n",
            Some((5, 8)),
        ),
        ("S: * 1 EXPUNGE\nS: m2 OK [COPYUID 5 3 8] x\n", Some((5, 8))),
        (
            "S: * OK [COPYUID 5 3 8] x\nS: * OK [ALERT] x\nS: m2 OK\n",
            Some((5, 8)),
        ),
        ("S: * OK [COPYUID 5 4 8] x\nS: m2 OK done\n", None),
        ("S: m2 OK [COPYUID 5 3 8:9] x\n", None),
        ("S: m2 OK [COPYUID 5 3:4 8:9] x\n", None),
        ("S: m2 OK [COPYUID 5 3 *] x\n", None),
        ("S: m2 OK [APPENDUID 5 8] x\n", None),
        ("S: m2 OK nothing to move\n", None),
    ] {
        let script = format!("C: m2 UID MOVE 3 \"a b\"\n{answer}");
        let (mut session, peer) = target("MOVE", &script).await;
        let want = found.map(|(uidvalidity, uid)| AppendUid {
            uidvalidity,
            uids: vec![uid],
        });
        assert_eq!(
            session.move_message(3, "a b").await.unwrap(),
            want,
            "{answer}"
        );
        peer.had_its_way(session).await;
    }
    let script = "C: m2 UID MOVE 3 \"x\"\nS: m2 NO [TRYCREATE] no\n";
    let (mut session, _peer) = target("MOVE", script).await;
    let error = session.move_message(3, "x").await.unwrap_err();
    assert!(
        matches!(
            error,
            ImapError::No {
                command: "UID MOVE",
                ..
            }
        ),
        "{error:?}"
    );
}
