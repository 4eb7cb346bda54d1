//! Pairs of accounts, from the command line or from a CSV file.

use std::path::Path;

use serde::Deserialize;

use crate::cli::args::MigrateArgs;
use crate::cli::backup::quoted;
use crate::cli::failure::CommandError;

/// Where from, where to, and how to sign in on both sides.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Pair {
    pub(super) source: String,
    pub(super) target: String,
    #[serde(default)]
    pub(super) account: Option<String>,
    #[serde(default)]
    pub(super) password_command: Option<String>,
    #[serde(default)]
    pub(super) target_password_command: Option<String>,
    #[serde(default)]
    pub(super) authzid: Option<String>,
    #[serde(default)]
    pub(super) target_authzid: Option<String>,
}

const COLUMNS: [&str; 7] = [
    "source",
    "target",
    "account",
    "password_command",
    "target_password_command",
    "authzid",
    "target_authzid",
];

/// The pairs the user means. What a line of the file does not say, the options do.
pub(super) fn pairs(args: &MigrateArgs) -> Result<Vec<Pair>, CommandError> {
    let options = Pair {
        source: args.source.clone().unwrap_or_default(),
        target: args.target.clone().unwrap_or_default(),
        account: args.account.clone(),
        password_command: args.password.password_command.clone(),
        target_password_command: args.to.target_password_command.clone(),
        authzid: args.connection.authzid.clone(),
        target_authzid: args.to.target_authzid.clone(),
    };
    let Some(file) = &args.accounts else {
        return Ok(vec![options]);
    };
    let text = std::fs::read(file).map_err(|error| {
        CommandError::configuration(format!("cannot read {}: {error}", quoted(file)))
    })?;
    let mut pairs = read(&text, file)?;
    for pair in &mut pairs {
        let fill = |own: &mut Option<String>, option: &Option<String>| {
            if own.as_deref().is_none_or(|text| text.trim().is_empty()) {
                own.clone_from(option);
            }
        };
        fill(&mut pair.account, &None);
        fill(&mut pair.password_command, &options.password_command);
        fill(
            &mut pair.target_password_command,
            &options.target_password_command,
        );
        fill(&mut pair.authzid, &options.authzid);
        fill(&mut pair.target_authzid, &options.target_authzid);
    }
    Ok(pairs)
}

fn read(text: &[u8], file: &Path) -> Result<Vec<Pair>, CommandError> {
    let wrong = |why: String| {
        CommandError::usage(format!("cannot use {}: {why}", quoted(file))).hint(format!(
            "the first line names the columns: {}",
            COLUMNS.join(",")
        ))
    };
    // Spreadsheets begin a file with a byte order mark.
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_reader(text);
    let columns = reader.headers().map_err(|e| wrong(e.to_string()))?.clone();
    for column in &columns {
        let lower = column.to_ascii_lowercase();
        if COLUMNS.contains(&column) {
            continue;
        }
        if lower.contains("pass")
            || lower.contains("pw")
            || lower.contains("secret")
            || lower.contains("token")
        {
            return Err(wrong(format!(
                "passwords do not belong in a file of accounts (column `{column}`): name a command that prints them, in password_command and target_password_command"
            )));
        }
        return Err(wrong(format!("there is no column `{column}`")));
    }
    let mut pairs: Vec<(u64, Pair)> = Vec::new();
    for row in reader.records() {
        let row = row.map_err(|error| wrong(unreadable(&error)))?;
        // A quoted cell may span lines.
        let line = row.position().map_or(0, csv::Position::line);
        let pair: Pair = row
            .deserialize(Some(&columns))
            .map_err(|e| wrong(format!("line {line}: {e}")))?;
        if pair.source.is_empty() || pair.target.is_empty() {
            return Err(wrong(format!("line {line} lacks its source or its target")));
        }
        if let Some((twin, _)) = pairs.iter().find(|(_, p)| p.target == pair.target) {
            return Err(wrong(format!(
                "line {line} has the target of line {twin}; two accounts in one cannot be told apart again"
            )));
        }
        pairs.push((line, pair));
    }
    if pairs.is_empty() {
        return Err(wrong("it names no accounts".to_owned()));
    }
    Ok(pairs.into_iter().map(|(_, pair)| pair).collect())
}

fn unreadable(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths {
            pos: Some(pos),
            expected_len,
            len,
        } => format!(
            "line {} has {len} cells, and the first line names {expected_len} columns",
            pos.line()
        ),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Vec<Pair>, String> {
        read(text.as_bytes(), Path::new("a.csv")).map_err(|e| e.render())
    }

    #[test]
    fn columns_may_stand_in_any_order_and_be_left_out() {
        let pairs = parsed("\u{feff}target, source,account\nimaps://a@y,imaps://a@x,\"Ann, the first\"\nimaps://b@y,imaps://b@x,\n").unwrap();
        assert_eq!(pairs.len(), 2);
        assert_eq!(pairs[0].source, "imaps://a@x");
        assert_eq!(pairs[0].account.as_deref(), Some("Ann, the first"));
        assert_eq!(pairs[1].password_command, None);
    }

    #[test]
    fn passwords_unknown_columns_and_twins_are_refused() {
        for (text, words) in [
            ("source,target,password\na,b,c\n", "do not belong"),
            ("source,target,target_pass\na,b,c\n", "do not belong"),
            ("source,target,colour\na,b,c\n", "no column `colour`"),
            ("source,target\na,\n", "line 2 lacks"),
            (
                "source,target\na,b\nc,b\n",
                "line 3 has the target of line 2",
            ),
            (
                "account,source,target\n\"a\nb\",a,b\nx,c,b\n",
                "line 4 has the target of line 2",
            ),
            ("source,target,PWD\na,b,c\n", "do not belong"),
            ("source,source,target\na,b,c\n", "source"),
            ("source,target\na,b,c\n", "line 2 has 3 cells"),
            ("source,target\n", "no accounts"),
            ("source\na\n", "target"),
        ] {
            let said = parsed(text).unwrap_err();
            assert!(said.contains(words), "{text}: {said}");
        }
    }
}
