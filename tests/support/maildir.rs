//! Mail laid into Dovecot's Maildir as a delivery agent would, for what APPEND refuses.

use std::os::unix::fs::{MetadataExt as _, chown};

use super::dovecot::Dovecot;

/// Puts messages into an existing mailbox (a name that needs no encoding), as files.
pub fn lay(dovecot: &Dovecot, user: &str, mailbox: &str, messages: &[&[u8]]) {
    let folder = dovecot
        .path()
        .join("mail")
        .join(user)
        .join(mailbox)
        .join("cur");
    let owner = std::fs::metadata(&folder).unwrap();
    for (n, message) in messages.iter().enumerate() {
        let path = folder.join(format!("{}.{n}.laid:2,", 1_700_000_000 + n));
        std::fs::write(&path, message).unwrap();
        // Dovecot reads mail as its owner, which is not root.
        chown(&path, Some(owner.uid()), Some(owner.gid())).unwrap();
    }
}

/// Makes a mailbox of this wire name as a folder, where CREATE would refuse it.
pub fn make_folder(dovecot: &Dovecot, user: &str, wire: &str) {
    let root = dovecot.path().join("mail").join(user);
    let owner = std::fs::metadata(&root).unwrap();
    let folder = root.join(wire);
    for part in ["", "cur", "new", "tmp"] {
        let path = folder.join(part);
        std::fs::create_dir(&path).unwrap();
        chown(&path, Some(owner.uid()), Some(owner.gid())).unwrap();
    }
}
