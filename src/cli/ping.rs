//! `--ping`: a dead man's switch, such as healthchecks.io, hears that a run began and how it
//! ended. The only file that speaks HTTP.
//!
//! Whoever knows the URL can keep the switch quiet, so it is treated as a secret: nothing said
//! here holds more of it than scheme and host, and redirects, which would hand it on, are not
//! followed.

use std::io::Read as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mailstow::backup::Stop;
use mailstow::secret::Secret;
use tokio::sync::oneshot;
use ureq::http::{Response, Uri};
use ureq::tls::{RootCerts, TlsConfig};

use super::failure::CommandError;
use super::unattended::seconds;

const TRIES: u32 = 3;

/// What healthchecks.io keeps of a body.
const MOST_OF_A_BODY: usize = 100_000;

/// The switch.
#[derive(Debug, Clone)]
pub(crate) struct Ping {
    agent: ureq::Agent,
    scheme: String,
    authority: String,
    host: String,
    path: String,
    query: Option<String>,
}

/// What it hears.
#[derive(Debug, Clone)]
pub(crate) enum Call {
    /// A run begins: GET URL/start.
    Start,
    /// Exit code 0: GET URL.
    Success,
    /// Any other: POST URL/fail with the report.
    Fail(String),
}

/// A call on its way, on a thread of its own. It ends by itself when this is dropped.
#[derive(Debug)]
pub(crate) struct Sending {
    answer: oneshot::Receiver<Result<(), String>>,
    last_try: Arc<AtomicBool>,
}

/// Why a try failed, and whether another one could help.
struct Failed {
    why: String,
    again: bool,
}

impl Ping {
    /// Takes `https://`, and `http://` to this machine or where plain text is allowed.
    ///
    /// # Errors
    /// A usage error that does not repeat the URL.
    pub(crate) fn new(url: &Secret, allow_plaintext: bool) -> Result<Self, CommandError> {
        let usage = |why: &str| {
            CommandError::usage(format!("cannot use the URL to ping: {why}"))
                .hint("it looks like https://hc-ping.com/your-uuid")
        };
        let uri: Uri = url
            .expose()
            .trim()
            .parse()
            .map_err(|_| usage("it is no URL"))?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(usage("it names no protocol or no host"));
        };
        let host = authority.host().to_owned();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let here = bare.eq_ignore_ascii_case("localhost")
            || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        match scheme {
            "https" => {}
            "http" if here || allow_plaintext => {}
            "http" => {
                return Err(usage("http:// would show it to everybody on the way")
                    .hint("use https://; --allow-plaintext goes on without"));
            }
            _ => return Err(usage("its protocol is not https")),
        }
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::PlatformVerifier)
            .build();
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .https_only(scheme == "https")
            .max_redirects(0)
            .timeout_global(Some(seconds(10)))
            .tls_config(tls)
            .user_agent(concat!("mailstow/", env!("CARGO_PKG_VERSION")));
        // A proxy does not know what stands on this machine.
        let config = if here { config.proxy(None) } else { config };
        Ok(Self {
            agent: config.build().into(),
            scheme: scheme.to_owned(),
            authority: authority.to_string(),
            host,
            path: uri.path().to_owned(),
            query: uri.query().map(str::to_owned),
        })
    }

    /// Sends a call: at most three tries of at most ten seconds.
    pub(crate) fn send(&self, call: Call) -> Sending {
        let (told, answer) = oneshot::channel();
        let last_try = Arc::new(AtomicBool::new(false));
        let (ping, last) = (self.clone(), Arc::clone(&last_try));
        // Where no thread is to be had the sender is dropped, which `answer` tells.
        let work = move || told.send(ping.deliver(&call, &last));
        drop(std::thread::Builder::new().spawn(work));
        Sending { answer, last_try }
    }

    fn deliver(&self, call: &Call, last_try: &AtomicBool) -> Result<(), String> {
        let mut tries = 0;
        loop {
            tries += 1;
            let Err(failed) = self.once(call) else {
                return Ok(());
            };
            if !failed.again || tries == TRIES || last_try.load(Ordering::SeqCst) {
                return Err(format!(
                    "cannot ping {}://{}/…: {}",
                    self.scheme, self.host, failed.why
                ));
            }
            std::thread::sleep(seconds(tries));
        }
    }

    fn once(&self, call: &Call) -> Result<(), Failed> {
        let url = self.url(call);
        let answer = match call {
            Call::Start | Call::Success => self.agent.get(&url).call(),
            Call::Fail(report) => {
                let (kind, body) = body(report);
                self.agent.post(&url).content_type(kind).send(body)
            }
        };
        match answer {
            Ok(response) => judge(response),
            Err(error) => Err(Failed {
                why: words(&error),
                again: true,
            }),
        }
    }

    fn url(&self, call: &Call) -> String {
        let below = self.path.trim_end_matches('/');
        let path = match call {
            Call::Start => format!("{below}/start"),
            Call::Success => self.path.clone(),
            Call::Fail(_) => format!("{below}/fail"),
        };
        let query = match &self.query {
            Some(query) => format!("?{query}"),
            None => String::new(),
        };
        format!("{}://{}{path}{query}", self.scheme, self.authority)
    }
}

impl Sending {
    /// What became of it, at the latest when somebody asks to stop.
    pub(crate) async fn ended(self, stop: &Stop) -> Result<(), String> {
        tokio::select! {
            answer = self.answer => answer.unwrap_or_else(|_| Err("cannot ping: a thread could not be started".to_owned())),
            () = stop.requested() => Ok(()),
        }
    }

    /// The same, without another try: what follows matters more.
    pub(crate) async fn cut_short(self, stop: &Stop) -> Result<(), String> {
        self.last_try.store(true, Ordering::SeqCst);
        self.ended(stop).await
    }
}

/// A report as far as it is kept, and what kind of text that is then.
fn body(report: &str) -> (&'static str, &str) {
    if report.len() <= MOST_OF_A_BODY {
        return ("application/json", report);
    }
    let part = (0..=MOST_OF_A_BODY).rev().find_map(|end| report.get(..end));
    ("text/plain; charset=utf-8", part.unwrap_or_default())
}

fn judge(response: Response<ureq::Body>) -> Result<(), Failed> {
    let status = response.status();
    let failed = |why: String, again| Err(Failed { why, again });
    if status.is_redirection() {
        return failed(
            format!(
                "it answers {status}, and redirects are not followed; name the URL it leads to"
            ),
            false,
        );
    }
    if !status.is_success() {
        let again = status.is_server_error() || matches!(status.as_u16(), 408 | 429);
        return failed(format!("it answers {status}"), again);
    }
    let mut said = Vec::new();
    let read = response
        .into_body()
        .into_reader()
        .take(1024)
        .read_to_end(&mut said);
    let said = String::from_utf8_lossy(&said);
    // QUIRK(healthchecks.io, 2026): a ping to a check that does not exist, or one too many, is
    // answered with 200 and `OK (not found)` or `OK (rate limited)`.
    if read.is_ok() && said.starts_with("OK (") {
        return failed(
            format!("it answers {status}, but says: {}", said.trim()),
            false,
        );
    }
    Ok(())
}

/// An error without the URL, which a few of them repeat.
fn words(error: &ureq::Error) -> String {
    match error {
        ureq::Error::BadUri(_) | ureq::Error::RequireHttpsOnly(_) => {
            "the URL cannot be used".to_owned()
        }
        ureq::Error::Timeout(_) => format!("no answer within {:?}", seconds(10)),
        ureq::Error::Io(error) => error.to_string(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ping(url: &str, allow_plaintext: bool) -> Result<Ping, CommandError> {
        Ping::new(&Secret::new(url.to_owned()), allow_plaintext)
    }

    #[test]
    fn the_end_of_a_call_goes_before_the_query() {
        let ping = ping("https://hc.example:8443/key/nightly/?create=1\n", false).unwrap();
        let url = |call| ping.url(&call);
        assert_eq!(
            url(Call::Success),
            "https://hc.example:8443/key/nightly/?create=1"
        );
        assert_eq!(
            url(Call::Start),
            "https://hc.example:8443/key/nightly/start?create=1"
        );
        assert_eq!(
            url(Call::Fail(String::new())),
            "https://hc.example:8443/key/nightly/fail?create=1"
        );
    }

    #[test]
    fn plain_http_is_for_this_machine_or_on_request_and_no_refusal_repeats_the_url() {
        for good in [
            "https://h/s3cret",
            "http://127.0.0.1:1/s3cret",
            "http://[::1]/s3cret",
        ] {
            assert!(ping(good, false).is_ok(), "{good}");
        }
        assert!(ping("http://h/s3cret", true).is_ok());
        for bad in [
            "http://h/s3cret",
            "http://127.0.0.1.example/s3cret",
            "ftp://h/s3cret",
            "h/s3cret",
            "s3cret",
            "/s3cret",
            "https:///s3cret",
            "https://h/s3cret s3cret",
        ] {
            let error = ping(bad, false).unwrap_err();
            assert_eq!(error.exit(), 2, "{bad}");
            assert!(!error.render().contains("s3cret"), "{}", error.render());
        }
    }

    #[test]
    fn a_long_report_is_cut_between_characters() {
        let short = "{}";
        assert_eq!(body(short), ("application/json", short));
        let long = format!("x{}", "é".repeat(60_000));
        let (kind, part) = body(&long);
        assert_eq!((kind, part.len()), ("text/plain; charset=utf-8", 99_999));
        assert!(long.starts_with(part));
    }
}
