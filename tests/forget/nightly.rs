//! Nightly runs after something was forgotten.

use support::archive_state::assert_adds_a_run_record_only;
use support::dovecot::{ALICE, Dovecot};

use super::*;

#[test]
fn a_forgotten_message_is_not_fetched_again_and_one_that_turns_up_elsewhere_is_excluded() {
    let dovecot = Dovecot::start();
    dovecot.deliver(ALICE, "INBOX", b"Subject: other\r\n\r\nx\r\n", &[], None);
    dovecot.deliver(ALICE, "INBOX", &secret(), &[], None);
    let mailstow = Mailstow::new();
    let archive = mailstow.archive();
    let url = dovecot.url(ALICE);
    mailstow.backup(&url, &archive, &[]).expect(0);
    forget(&archive);
    assert_erased(&archive);
    assert_adds_a_run_record_only(&archive, || {
        mailstow.backup(&url, &archive, &[]).expect(0);
    });
    dovecot.deliver(ALICE, "Sent", &secret(), &[], None);
    dovecot.deliver(ALICE, "Sent", b"Subject: third\r\n\r\nx\r\n", &[], None);
    let text = mailstow.report(&url, &archive, 0, &[]).to_string();
    assert!(text.contains(r#""excluded":1"#), "{text}");
    assert!(text.contains("forgotten on request"), "{text}");
    assert!(!text.contains(r#""linked":1"#), "{text}");
    assert_erased(&archive);
    assert_adds_a_run_record_only(&archive, || {
        mailstow.backup(&url, &archive, &[]).expect(0);
    });
    assert_sound(&archive);
    assert_erased(&archive);
}
