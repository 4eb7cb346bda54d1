//! One migration, from the options and one pair of accounts.

use std::path::{Path, PathBuf};
use std::time::Instant;

use mailstow::archive::folder_for;
use mailstow::backup::{self, Limits};
use mailstow::catalog::Within;
use mailstow::clock::Clock;
use mailstow::migrate;
use mailstow::model::AccountId;
use mailstow::replay;
use mailstow::store::OpenOptions;

use super::pairs::Pair;
use crate::cli::args::{ConnectionArgs, MigrateArgs, PasswordArgs, TargetArgs};
use crate::cli::backup::{check_protocols, limits, selection, source};
use crate::cli::failure::CommandError;
use crate::cli::replay::{manner, rules, target};
use crate::cli::source_arg::SourceUrl;

/// One migration, ready to run.
pub(super) struct Work {
    /// The account's name.
    pub(super) name: String,
    pub(super) archive: PathBuf,
    pub(super) request: migrate::Request,
}

/// Where one pair goes, and what it is called, before anybody is asked for a password.
pub(super) struct Place {
    url: SourceUrl,
    pub(super) name: String,
    archive: PathBuf,
}

/// Names every pair and gives it its archive, the same in every run whatever else the file holds.
pub(super) fn places(args: &MigrateArgs, pairs: &[Pair]) -> Result<Vec<Place>, CommandError> {
    let several = args.accounts.is_some();
    if several && args.manner.report.is_some() {
        return Err(CommandError::usage(
            "--report names one file, and --accounts brings several reports".to_owned(),
        )
        .hint("--final writes a page beside each ledger by itself"));
    }
    let mut places: Vec<Place> = Vec::new();
    let mut folders: Vec<String> = Vec::new();
    for pair in pairs {
        let url = SourceUrl::parse(&pair.source, &connection(args, pair))?;
        let name = pair.account.clone().unwrap_or_else(|| url.account());
        let mut archive = args.via.clone();
        if several {
            let flat = name.replace('/', "_");
            let folder = folder_for(&flat, &[] as &[&str]);
            if folder_for(&flat, &folders) != folder {
                return Err(CommandError::usage(format!(
                    "two pairs would share the archive `{folder}`, which is named after the account"
                ))
                .hint("give each a name of its own in the column `account`"));
            }
            archive.push(&folder);
            folders.push(folder);
        }
        places.push(Place { url, name, archive });
    }
    let urls: Vec<SourceUrl> = places.iter().map(|p| p.url.clone()).collect();
    check_protocols(&args.pop, &args.selection, &urls)?;
    Ok(places)
}

fn connection(args: &MigrateArgs, pair: &Pair) -> ConnectionArgs {
    ConnectionArgs {
        authzid: pair.authzid.clone(),
        ..args.connection.clone()
    }
}

/// Asks for the passwords, and says what is to be done. `only`: there is no other pair.
pub(super) fn prepare(
    args: &MigrateArgs,
    pair: &Pair,
    place: Place,
    only: bool,
    until: Option<Instant>,
) -> Result<Work, CommandError> {
    let Place { url, name, archive } = place;
    let to = TargetArgs {
        target_password_command: pair.target_password_command.clone(),
        target_authzid: pair.target_authzid.clone(),
        ..args.to.clone()
    };
    let target = target(&pair.target, &to, only)?;
    let password = PasswordArgs {
        password_command: pair.password_command.clone(),
    };
    let selection = selection(&args.selection, &args.pop)?;
    let within = Within {
        since: selection.since,
        before: selection.before,
        larger: None,
        smaller: selection.max_size.map(|size| size.saturating_add(1)),
    };
    let backup = backup::Request {
        archive: archive.clone(),
        open: OpenOptions {
            create: true,
            ..OpenOptions::default()
        },
        source: source(&url, &connection(args, pair), &password, only)?,
        account: name.clone(),
        source_text: url.text.clone(),
        selection,
        delete: args.pop.pop_delete.unwrap_or_default(),
        flags: args.changes.flags.into(),
        believe_deletions: args.changes.believe_deletions,
        limits: Limits {
            until,
            ..limits(&args.limits)
        },
        newest_first: args.limits.newest_first,
        plan_only: false,
        job: None,
    };
    let replay = replay::Request {
        archive: archive.clone(),
        catalog: None,
        ledger: args.manner.ledger.clone(),
        clock: Clock::System,
        account: AccountId(0),
        target,
        mailboxes: args.selection.mailboxes.mailboxes.clone(),
        exclude: args.selection.mailboxes.exclude.clone(),
        within,
        as_of: None,
        rules: rules(&args.manner)?,
        manner: manner(&args.manner),
        dry_run: args.dry_run,
    };
    Ok(Work {
        name,
        archive,
        request: migrate::Request {
            backup,
            replay,
            last: args.last,
        },
    })
}

impl Work {
    /// Where the page goes: where the user says, else beside the ledger after the last pass.
    pub(super) fn page(&self, args: &MigrateArgs) -> Option<PathBuf> {
        let replay = &self.request.replay;
        let beside = || {
            let base = replay.ledger.clone();
            let place = replay::ledger::LedgerPlace {
                base: base.unwrap_or_else(|| self.archive.join("replay")),
                archive: String::new(),
                address: replay.target.address(),
            };
            let mut file = place.folder().into_os_string();
            file.push(".html");
            PathBuf::from(file)
        };
        let named = args.manner.report.clone();
        named.or_else(|| (args.last && !args.dry_run).then(beside))
    }

    /// Whether there was an archive before.
    pub(super) fn has_archive(&self) -> bool {
        is_archive(&self.archive)
    }
}

fn is_archive(path: &Path) -> bool {
    path.join("archive.toml").exists()
}
