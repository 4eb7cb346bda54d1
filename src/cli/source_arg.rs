//! SOURCE arguments: URLs, and where the password comes from.

use std::io::IsTerminal;
use std::net::IpAddr;

use mailstow::net::{Endpoint, Fingerprint, NetOptions, RateLimiter, Security, Trust};
use mailstow::secret::Secret;

use super::args::{ConnectionArgs, PasswordArgs, TargetArgs};
use super::failure::CommandError;

/// A source as the user named it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SourceUrl {
    /// The user name.
    pub(crate) user: String,
    /// Whose mail is meant, where an administrator signs in.
    acts_for: Option<String>,
    /// The server.
    pub(crate) endpoint: Endpoint,
    /// The URL in its usual form, without anything secret.
    pub(crate) text: String,
    /// What is spoken there.
    pub(crate) protocol: Protocol,
}

/// What is spoken to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Imap,
    Pop3,
    /// Mail can only be delivered there.
    Smtp,
    Lmtp,
}

impl SourceUrl {
    /// The account's name unless the user gives another: the address.
    pub(crate) fn account(&self) -> String {
        self.address(self.acts_for.as_ref().unwrap_or(&self.user))
    }

    fn address(&self, user: &str) -> String {
        if user.contains('@') {
            user.to_owned()
        } else {
            format!("{user}@{}", self.endpoint.host)
        }
    }

    /// Reads `imaps://user@host[:port]`, split at the last `@`.
    pub(crate) fn parse(text: &str, connection: &ConnectionArgs) -> Result<Self, CommandError> {
        let usage = |why: &str| {
            CommandError::usage(format!("cannot use `{text}` as a source: {why}"))
                .hint("a source looks like imaps://you@example.com@imap.example.com")
        };
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(usage("it is no URL"));
        };
        let (protocol, tls, port) = match scheme.to_ascii_lowercase().as_str() {
            "imaps" => (Protocol::Imap, true, 993),
            "imap" => (Protocol::Imap, false, 143),
            "pop3s" => (Protocol::Pop3, true, 995),
            "pop3" => (Protocol::Pop3, false, 110),
            "smtps" => (Protocol::Smtp, true, 465),
            "smtp" => (Protocol::Smtp, false, 587),
            "lmtp" => (Protocol::Lmtp, false, 24),
            other => return Err(usage(&format!("there is no protocol `{other}`"))),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (user, authority) = match rest.rsplit_once('@') {
            Some(split) => split,
            // Who delivers on the spot need not be anybody.
            None if matches!(protocol, Protocol::Smtp | Protocol::Lmtp) => ("", rest),
            None => return Err(usage("it names no user")),
        };
        if user.contains(':') {
            return Err(CommandError::usage("a password does not belong in a URL: other users of this machine can read it there".to_owned())
                .hint("leave it out; mailstow asks for it, or takes it from MAILSTOW_PASSWORD or --password-command"));
        }
        let user =
            percent_decoded(user).ok_or_else(|| usage("the user name has a broken %-escape"))?;
        let (host, port) =
            split_port(authority, port).ok_or_else(|| usage("the port is no number"))?;
        let nobody = user.is_empty() && !matches!(protocol, Protocol::Smtp | Protocol::Lmtp);
        if nobody
            || host.is_empty()
            || host
                .chars()
                .any(|c| c.is_whitespace() || c.is_control() || c == '/')
        {
            return Err(usage("it needs a user and a host"));
        }
        let open = is_loopback(&host)
            && connection.tls_ca.is_none()
            && connection.tls_fingerprint.is_none();
        let security = match (tls, open || connection.allow_plaintext) {
            (true, _) => Security::Tls,
            (false, true) => Security::Plaintext,
            (false, false) => Security::StartTls,
        };
        let usual = if host.contains(':') {
            format!("[{host}]:{port}")
        } else {
            format!("{host}:{port}")
        };
        let scheme = scheme.to_ascii_lowercase();
        let text = if user.is_empty() {
            format!("{scheme}://{usual}")
        } else {
            format!("{scheme}://{user}@{usual}")
        };
        Ok(Self {
            user,
            acts_for: connection.authzid.clone(),
            endpoint: Endpoint {
                host,
                port,
                security,
            },
            text,
            protocol,
        })
    }
}

fn split_port(authority: &str, usual: u16) -> Option<(String, u16)> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, port) = rest.split_once(']')?;
        let port = if port.is_empty() {
            usual
        } else {
            port.strip_prefix(':')?.parse().ok()?
        };
        return Some((host.to_owned(), port));
    }
    match authority.rsplit_once(':') {
        Some((host, port)) => Some((host.to_owned(), port.parse().ok()?)),
        None => Some((authority.to_owned(), usual)),
    }
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(b) = rest.next() {
        if b == b'%' {
            let pair = [rest.next()?, rest.next()?];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&pair).ok()?, 16).ok()?);
        } else {
            bytes.push(b);
        }
    }
    String::from_utf8(bytes).ok()
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Trust and limits from the options.
pub(crate) fn net_options(connection: &ConnectionArgs) -> Result<NetOptions, CommandError> {
    let trust = match (&connection.tls_ca, &connection.tls_fingerprint) {
        (Some(file), None) => Trust::CaFile(file.clone()),
        (None, Some(hex)) => Trust::Fingerprint(hex.parse::<Fingerprint>().map_err(|e| {
            CommandError::usage(format!("cannot use `{hex}` as a fingerprint: {e}"))
                .hint("it is the SHA-256 of the certificate: openssl x509 -noout -fingerprint -sha256 -in cert.pem")
        })?),
        _ => Trust::System,
    };
    let limiter = connection
        .limit_rate
        .and_then(std::num::NonZeroU64::new)
        .map(|rate| std::sync::Arc::new(RateLimiter::new(rate)));
    Ok(NetOptions {
        trust,
        limiter,
        ..NetOptions::default()
    })
}

/// The password of a source: a command's output, the environment, or an answer at the terminal.
pub(crate) fn password(
    source: &SourceUrl,
    args: &PasswordArgs,
    only_source: bool,
) -> Result<Secret, CommandError> {
    let command = args.password_command.as_deref();
    let from = (command, "--password-command");
    secret(source, from, "MAILSTOW_PASSWORD", only_source)
}

/// The password of a target, for a command that has only one server to do with. A source's
/// password is never tried there.
pub(crate) fn password_as_target(
    target: &SourceUrl,
    args: &PasswordArgs,
) -> Result<Secret, CommandError> {
    let command = args.password_command.as_deref();
    let from = (command, "--password-command");
    secret(target, from, "MAILSTOW_TARGET_PASSWORD", true)
}

/// The password of a target.
pub(crate) fn target_password(
    target: &SourceUrl,
    args: &TargetArgs,
    only_target: bool,
) -> Result<Secret, CommandError> {
    let command = args.target_password_command.as_deref();
    let from = (command, "--target-password-command");
    secret(target, from, "MAILSTOW_TARGET_PASSWORD", only_target)
}

fn secret(
    source: &SourceUrl,
    (command, option): (Option<&str>, &str),
    variable: &str,
    only: bool,
) -> Result<Secret, CommandError> {
    if let Some(command) = command {
        return from_command(source, command);
    }
    if let Some(password) = std::env::var_os(variable) {
        if !only {
            return Err(CommandError::usage(format!("{variable} cannot be used with several sources: one password must not reach two servers"))
                .hint(format!("use {option}, which learns from $MAILSTOW_USER and $MAILSTOW_HOST whose password is wanted")));
        }
        let password = password
            .into_string()
            .map_err(|_| CommandError::configuration(format!("{variable} is not valid UTF-8")))?;
        if password.is_empty() {
            // Never sent: it could only be refused, and count towards a lock-out.
            return Err(
                CommandError::configuration(format!("{variable} is set, but empty"))
                    .hint("set it to the password, or unset it to be asked"),
            );
        }
        return Ok(Secret::new(password));
    }
    if !std::io::stdin().is_terminal() {
        return Err(CommandError::configuration(format!(
            "no password for {}",
            source.address(&source.user)
        ))
        .hint(format!(
            "set {variable}, use {option}, or run mailstow in a terminal to be asked"
        )));
    }
    let prompt = format!(
        "Password for {} at {}: ",
        super::text::escaped(&source.user),
        super::text::escaped(&source.endpoint.host)
    );
    let password = rpassword::prompt_password(prompt)
        .map_err(|e| CommandError::configuration(format!("cannot read the password: {e}")))?;
    Ok(Secret::new(password))
}

fn from_command(source: &SourceUrl, command: &str) -> Result<Secret, CommandError> {
    let failed = |why: String| {
        CommandError::configuration(format!("the password command failed: {why}"))
            .hint(format!("try it by hand: {command}"))
    };
    let output = std::process::Command::new("sh")
        .args(["-c", command])
        .env_remove("MAILSTOW_PASSWORD")
        .env_remove("MAILSTOW_TARGET_PASSWORD")
        .env("MAILSTOW_USER", &source.user)
        .env("MAILSTOW_HOST", &source.endpoint.host)
        .stderr(std::process::Stdio::inherit())
        .output()
        .map_err(|e| failed(e.to_string()))?;
    if !output.status.success() {
        return Err(failed(output.status.to_string()));
    }
    let text = String::from_utf8(output.stdout)
        .map_err(|_| failed("its output is not UTF-8".to_owned()))?;
    // The first line, as pass, gopass and others print it.
    let password = text.lines().next().unwrap_or_default();
    if password.is_empty() {
        return Err(failed("it printed nothing".to_owned()));
    }
    Ok(Secret::new(password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<SourceUrl, CommandError> {
        SourceUrl::parse(text, &ConnectionArgs::default())
    }

    #[test]
    fn urls_are_split_at_the_last_at_sign() {
        let url = parse("imaps://you@example.com@imap.zoho.eu").unwrap();
        assert_eq!(
            (
                url.user.as_str(),
                url.endpoint.host.as_str(),
                url.endpoint.port
            ),
            ("you@example.com", "imap.zoho.eu", 993)
        );
        assert_eq!(url.endpoint.security, Security::Tls);
        assert_eq!(url.text, "imaps://you@example.com@imap.zoho.eu:993");
        assert_eq!(url.account(), "you@example.com");
        assert_eq!(parse("imaps://a%3Ab@h").unwrap().user, "a:b");
        assert_eq!(parse("imap://u@[::1]:1143").unwrap().endpoint.port, 1143);
    }

    #[test]
    fn plaintext_is_for_loopback_only_unless_allowed() {
        assert_eq!(
            parse("imap://u@127.0.0.1:1143").unwrap().endpoint.security,
            Security::Plaintext
        );
        assert_eq!(
            parse("imap://u@mail.example.com")
                .unwrap()
                .endpoint
                .security,
            Security::StartTls
        );
        let allowed = ConnectionArgs {
            allow_plaintext: true,
            ..ConnectionArgs::default()
        };
        assert_eq!(
            SourceUrl::parse("imap://u@mail.example.com", &allowed)
                .unwrap()
                .endpoint
                .security,
            Security::Plaintext
        );
        let pinned = ConnectionArgs {
            tls_fingerprint: Some("00".into()),
            ..ConnectionArgs::default()
        };
        assert_eq!(
            SourceUrl::parse("imap://u@localhost", &pinned)
                .unwrap()
                .endpoint
                .security,
            Security::StartTls
        );
    }

    #[test]
    fn bad_urls_are_usage_errors_and_passwords_are_refused_without_being_repeated() {
        for bad in [
            "",
            "you@example.com",
            "imaps://host",
            "imaps://@host",
            "imaps://u@",
            "ftp://u@h",
            "imaps://u@h:x",
            "imaps://u@h/p",
        ] {
            assert_eq!(parse(bad).unwrap_err().exit(), 2, "{bad}");
        }
        let error = parse("imaps://you:hunter2@host").unwrap_err();
        assert!(!error.render().contains("hunter2"));
    }
}
