//! Taking mail out of an archive: a complete copy of its mailboxes in a common form.
//!
//! Each mailbox comes out whole, also messages the archive keeps in another mailbox's
//! segment. `index.jsonl` at the top has one line per message with all that the form cannot
//! hold; it gets its name last, so an export that has one is complete.

use std::collections::BTreeSet;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::archive::ReadError;
use crate::catalog::{AsOf, Catalog, CatalogError, PlacementRow, Within};
use crate::event::{Event, Sink};
use crate::model::{Account, AccountId, ContentId, Flags, InternalDate, Mailbox, RemoteId};
use crate::store::{HeldMail, Reader};
use crate::target::{
    self, BodyError, Folder, FolderError, Format, Outgoing, Put, Target, TargetError,
};

const INDEX: &str = "index.jsonl";
const INDEX_OPEN: &str = "index.jsonl.unfinished";

/// Chooses mailboxes.
pub type Choice<'a> = dyn Fn(&Account, &Mailbox) -> bool + 'a;

/// What is to be exported, and where to.
pub struct ExportRequest<'a> {
    /// The form.
    pub format: Format,
    /// A folder that is new or empty.
    pub to: PathBuf,
    /// Which mailboxes.
    pub choose: &'a Choice<'a>,
    /// Also messages that are no longer on the server.
    pub gone_too: bool,
    /// The mailboxes as they were; `None` as they are.
    pub as_of: Option<AsOf>,
}

impl std::fmt::Debug for ExportRequest<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExportRequest")
            .field("format", &self.format)
            .field("to", &self.to)
            .field("gone_too", &self.gone_too)
            .field("as_of", &self.as_of)
            .finish_non_exhaustive()
    }
}

/// A message that could not be exported.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LostMessage {
    /// Its mailbox.
    pub mailbox: String,
    /// The server's name for it.
    pub remote: RemoteId,
    /// Its content.
    pub content: ContentId,
    /// Why.
    pub reason: String,
}

/// What an export did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ExportReport {
    /// Mailboxes written.
    pub mailboxes: u64,
    /// Messages written.
    pub messages: u64,
    /// Their bytes on the wire.
    pub bytes: u64,
    /// Messages left out because they were forgotten on request.
    pub forgotten: u64,
    /// Messages whose bytes are lost.
    pub lost: Vec<LostMessage>,
    /// Mailboxes that could not keep their names: true name, and name in the export.
    pub renamed: Vec<(String, String)>,
}

impl ExportReport {
    /// Whether every message came out.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.lost.is_empty()
    }
}

/// The export is over; what is in its folder is not complete.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The folder cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The folder lies in the archive itself.
    #[error("`{}` lies inside the archive", .0.display())]
    Inside(PathBuf),
    /// Writing failed.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The catalog failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// A line of `index.jsonl`.
#[derive(Serialize)]
struct IndexLine<'a> {
    account: &'a str,
    mailbox: &'a str,
    file: &'a str,
    /// Where the message begins in an mbox.
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<u64>,
    id: ContentId,
    len: u64,
    flags: &'a Flags,
    date: Option<InternalDate>,
    remote: &'a RemoteId,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    gone: bool,
}

/// Exports mailboxes of an archive.
///
/// # Errors
/// The folder cannot be used or written. A message that is lost is no error: it stands in the
/// report.
pub fn export(
    reader: &Reader,
    request: &ExportRequest<'_>,
    sink: &dyn Sink,
) -> Result<ExportReport, ExportError> {
    refuse_inside(reader.dir().root(), &request.to)?;
    let folder = Folder::create(&request.to)?;
    let mut target = target::open(request.format, folder);
    let accounts = reader.catalog().accounts()?;
    let chosen = chosen(reader.catalog(), &accounts, request)?;
    let several = chosen
        .iter()
        .map(|(a, ..)| a.id)
        .collect::<BTreeSet<AccountId>>()
        .len()
        > 1;
    let mut total = 0;
    for (_, mailbox, commit) in &chosen {
        total += reader.catalog().totals_at(mailbox.id, *commit)?.bytes;
    }
    let index = request.to.join(INDEX_OPEN);
    let index_error = |source| TargetError {
        path: index.clone(),
        source,
    };
    let file = target
        .folder()
        .create_file(INDEX_OPEN)?
        .ok_or_else(|| index_error(std::io::ErrorKind::AlreadyExists.into()))?;
    let mut out = Out {
        target: &mut *target,
        index: BufWriter::new(file),
        index_path: index.clone(),
        mail: reader.mail(),
        report: ExportReport::default(),
        total,
        sink,
    };
    for (account, mailbox, commit) in &chosen {
        let mut rows = Vec::new();
        let all = Within::default();
        let each = |row| rows.push(row);
        reader
            .catalog()
            .shown_at(mailbox.id, *commit, request.gone_too, &all, each)?;
        out.mailbox(account, several, mailbox, rows)?;
    }
    let Out {
        mut index,
        mut report,
        ..
    } = out;
    index.flush().map_err(index_error)?;
    let file = index
        .into_inner()
        .map_err(|e| index_error(e.into_error()))?;
    target.folder().close(INDEX_OPEN, &file, None)?;
    report.renamed = target.finish()?;
    // ORDER: last, when all else is durable.
    target.folder().rename(INDEX_OPEN, INDEX)?;
    target.folder().sync()?;
    Ok(report)
}

/// The mailboxes that are wanted, each with the commit at whose end it is.
fn chosen<'a>(
    catalog: &Catalog,
    accounts: &'a [Account],
    request: &ExportRequest<'_>,
) -> Result<Vec<(&'a Account, Mailbox, u64)>, CatalogError> {
    let mut chosen = Vec::new();
    for account in accounts {
        let found = catalog.mailboxes_as_of(account.id, request.as_of.as_ref())?;
        let wanted = found
            .into_iter()
            .filter(|(mailbox, _)| (request.choose)(account, mailbox));
        chosen.extend(wanted.map(|(mailbox, commit)| (account, mailbox, commit)));
    }
    Ok(chosen)
}

fn refuse_inside(archive: &Path, to: &Path) -> Result<(), ExportError> {
    let parent = to
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    match (archive.canonicalize(), parent.canonicalize()) {
        (Ok(archive), Ok(parent)) if parent.starts_with(&archive) => {
            Err(ExportError::Inside(to.to_owned()))
        }
        _ => Ok(()),
    }
}

struct Out<'a> {
    target: &'a mut dyn Target,
    index: BufWriter<std::fs::File>,
    index_path: PathBuf,
    mail: HeldMail,
    report: ExportReport,
    total: u64,
    sink: &'a dyn Sink,
}

impl Out<'_> {
    fn mailbox(
        &mut self,
        account: &Account,
        several: bool,
        mailbox: &Mailbox,
        mut rows: Vec<PlacementRow>,
    ) -> Result<(), ExportError> {
        let all = rows.len();
        rows.retain(|row| row.forgotten.is_none());
        self.report.forgotten += (all - rows.len()) as u64;
        self.target
            .begin(several.then_some(account.folder.as_str()), mailbox)?;
        // Numbered by date, read in the order they lie: each data frame is decompressed once.
        let mut rows: Vec<(u64, PlacementRow)> = (1..).zip(rows).collect();
        rows.sort_by(|(_, a), (_, b)| {
            let (a, b) = (&a.content.at, &b.content.at);
            (&a.segment, a.frame, a.pos).cmp(&(&b.segment, b.frame, b.pos))
        });
        for (number, row) in &rows {
            self.message(account, mailbox, *number, row)?;
        }
        self.report.mailboxes += 1;
        Ok(self.target.end()?)
    }

    fn message(
        &mut self,
        account: &Account,
        mailbox: &Mailbox,
        number: u64,
        row: &PlacementRow,
    ) -> Result<(), ExportError> {
        let message = Outgoing {
            number,
            content: &row.content,
            flags: &row.flags,
            date: row.date,
        };
        let mail = &mut self.mail;
        // What was recorded as damaged may be readable all the same, so it is tried.
        let put = self.target.put(&message, &mut |sink| {
            mail.read(&row.content, sink).map_err(|error| match error {
                ReadError::Damaged { reason, .. } => BodyError::Lost(reason),
                error @ ReadError::Forgotten { .. } => BodyError::Lost(error.to_string()),
                ReadError::Sink(source) => BodyError::Write(source),
            })
        })?;
        match put {
            Put::Written { file, at } => {
                self.report.messages += 1;
                self.report.bytes += row.content.len;
                let line = IndexLine {
                    account: &account.name,
                    mailbox: &mailbox.name,
                    file: &file,
                    at,
                    id: row.content.id,
                    len: row.content.len,
                    flags: &row.flags,
                    date: row.date,
                    remote: &row.remote,
                    gone: row.gone,
                };
                self.line(&line)?;
                let done = self.report.bytes;
                self.sink.event(Event::Progress {
                    what: "exporting",
                    done,
                    total: self.total.max(done),
                });
            }
            Put::Lost(reason) => self.report.lost.push(LostMessage {
                mailbox: mailbox.name.clone(),
                remote: row.remote.clone(),
                content: row.content.id,
                reason,
            }),
        }
        Ok(())
    }

    fn line(&mut self, line: &IndexLine<'_>) -> Result<(), TargetError> {
        let path = &self.index_path;
        let error = |source| TargetError {
            path: path.clone(),
            source,
        };
        serde_json::to_writer(&mut self.index, line).map_err(|e| error(e.into()))?;
        self.index.write_all(b"\n").map_err(error)
    }
}
