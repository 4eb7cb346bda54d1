//! Comparing with a server that mail was replayed to.

use mailstow::contact::Stop;
use mailstow::event::Sink;
use mailstow::model::Account;
use mailstow::replay::ledger::LedgerState;
use mailstow::replay::verify::{VerifyRequest, verify};
use mailstow::report::Ending;
use mailstow::secret::Credentials;
use mailstow::source::ImapSource;
use mailstow::store::Reader;

use super::{compare, sample, seed, target_words, value};
use crate::cli::accounts::graver;
use crate::cli::args::VerifyArgs;
use crate::cli::failure::CommandError;
use crate::cli::output::Output;
use crate::cli::source_arg::{SourceUrl, net_options, password_as_target};
use crate::cli::verify::whole_archive;

pub(super) fn run(
    args: &VerifyArgs,
    reader: &Reader,
    url: &SourceUrl,
    (account, ledger): (&Account, &LedgerState),
    output: &Output,
) -> Result<u8, CommandError> {
    let given = &args.against;
    let target = ImapSource {
        endpoint: url.endpoint.clone(),
        net: net_options(&given.connection)?,
        credentials: Credentials {
            user: url.user.clone(),
            secret: password_as_target(url, &given.password)?,
            authzid: given.connection.authzid.clone(),
        },
        connections: None,
    };
    let request = VerifyRequest {
        target: &target,
        account,
        ledger,
        mailboxes: &given.mailboxes.mailboxes,
        exclude: &given.mailboxes.exclude,
        collapse: given.collapse_duplicates,
        sample: sample(args),
        seed: seed(args),
    };
    let compared = async |sink: &dyn Sink, stop: &Stop| verify(reader, &request, sink, stop).await;
    let (report, signal) = compare(compared, |report| report.ending, output)?;
    let local = if given.rehash && report.ending != Ending::Interrupted {
        Some(whole_archive(reader, None, None, output)?)
    } else {
        None
    };
    let code = signal.unwrap_or_else(|| {
        let code = report.exit();
        local
            .as_ref()
            .map_or(code, |local| graver(code, local.code))
    });
    let archive = &args.archive.archive;
    let mut text = target_words::of(&report, local.is_some(), archive);
    if let Some(local) = &local {
        text = format!("{text}\n\n{}", local.words(archive));
    }
    let value = value("target", &report, local.as_ref());
    output.result("against", &value, &text, code);
    Ok(code)
}
