//! Addresses of the envelope, looked at before they become part of a command.

use lettre::Address;

use super::error::SmtpError;

/// RFC 5321 §4.5.3.1.3: a path has 256 characters, with its brackets.
const MAX: usize = 254;

/// The address of MAIL FROM; nothing for the empty one, which wants no bounces.
pub(super) fn reverse_path(address: &str) -> Result<Option<Address>, SmtpError> {
    if address.is_empty() {
        return Ok(None);
    }
    recipient(address).map(Some)
}

/// The address of RCPT TO.
///
/// Only what could change the command is refused: real mail has addresses no grammar allows.
/// QUIRK(Docomo and others, 2000s): `two..dots.@example.jp`, which lettre's own parser refuses.
pub(super) fn recipient(address: &str) -> Result<Address, SmtpError> {
    let wrong = |reason| SmtpError::Address {
        address: address.to_owned(),
        reason,
    };
    if !address.is_ascii() {
        return Err(wrong("only ASCII can be sent, not SMTPUTF8"));
    }
    let is_special = |c: char| !c.is_ascii_graphic() || matches!(c, '<' | '>');
    if address.contains(is_special) {
        return Err(wrong(
            "it holds a blank, a control character, or one of < and >",
        ));
    }
    if address.len() > MAX {
        return Err(wrong("it has more than 254 characters"));
    }
    match address.rsplit_once('@') {
        Some((user, domain)) if !user.is_empty() && !domain.is_empty() => {
            Ok(Address::new_dangerous(user, domain))
        }
        Some(_) | None => Err(wrong("it is not of the form name@domain")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_real_mail_has_is_taken_as_it_is() {
        for address in [
            "anna@example.org",
            "two..dots.@example.jp",
            "SRS0=x+y=Zz=example.net=anna@[192.0.2.1]",
            "\"a@b\"@example.org",
            "postmaster@localhost",
        ] {
            assert_eq!(recipient(address).unwrap().to_string(), address);
            let from = reverse_path(address).unwrap();
            assert_eq!(from.unwrap().to_string(), address);
        }
        assert_eq!(reverse_path("").unwrap(), None);
    }

    #[test]
    fn what_would_change_the_command_is_refused() {
        let long = format!("{}@example.org", "x".repeat(243));
        for (address, reason) in [
            ("", "form"),
            ("anna", "form"),
            ("@example.org", "form"),
            ("anna@", "form"),
            ("anna@example.org\r\nRCPT TO:<eve@example.org>", "blank"),
            ("anna@example.org\n", "blank"),
            ("anna@example.org> SIZE=1", "blank"),
            ("<anna@example.org>", "one of <"),
            ("\"a b\"@example.org", "blank"),
            ("anna@example.org\0", "control"),
            ("änna@example.org", "SMTPUTF8"),
            (&long, "254"),
        ] {
            let error = recipient(address).unwrap_err();
            let SmtpError::Address { reason: said, .. } = &error else {
                panic!("{error:?}");
            };
            assert!(said.contains(reason), "{address:?}: {said}");
            assert_eq!(reverse_path(address).is_ok(), address.is_empty());
        }
        let fits = format!("{}@example.org", "x".repeat(242));
        assert!(recipient(&fits).is_ok());
    }
}
