//! A reader of pages that believes nothing: what is no tag it knows, or not closed, is an error.

/// Tags that have no end.
const VOID: [&str; 1] = ["meta"];
/// The others a page may have.
const KNOWN: [&str; 23] = [
    "html", "head", "title", "style", "body", "h1", "h2", "div", "p", "dl", "dt", "dd", "bdi",
    "section", "table", "thead", "tbody", "tfoot", "tr", "th", "td", "footer", "code",
];

/// What a person sees.
pub(crate) struct Parsed {
    /// Everything outside of tags and styles.
    pub(crate) text: String,
    tables: Vec<Table>,
}

/// A table, its total row included.
#[derive(Default)]
pub(crate) struct Table {
    head: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn number(&self, row: &[String], column: &str) -> i64 {
        self.known(row, column)
            .unwrap_or_else(|| panic!("no {column} in {:?}", self.head))
    }

    fn known(&self, row: &[String], column: &str) -> Option<i64> {
        let at = self.head.iter().position(|name| name == column)?;
        Some(row[at].parse().unwrap())
    }
}

impl Parsed {
    pub(crate) fn of(html: &str) -> Self {
        let mut rest = html.strip_prefix("<!doctype html>").expect("a doctype");
        let mut open: Vec<&str> = Vec::new();
        let mut parsed = Self {
            text: String::new(),
            tables: Vec::new(),
        };
        let mut cell = String::new();
        while let Some(at) = rest.find('<') {
            let (words, tag) = rest.split_at(at);
            if open.last() != Some(&"style") {
                let words = unescaped(words);
                parsed.text.push_str(&words);
                cell.push_str(&words);
            }
            let (tag, behind) = tag[1..].split_once('>').expect("the end of a tag");
            rest = behind;
            let name = tag.split([' ', '\n']).next().unwrap();
            if let Some(closed) = name.strip_prefix('/') {
                assert_eq!(open.pop(), Some(closed), "closed in the wrong order");
                let table = parsed.tables.last_mut();
                match (closed, open.contains(&"thead"), table) {
                    ("th", true, Some(table)) => table.head.push(cell.clone()),
                    ("th" | "td", _, Some(table)) => {
                        table.rows.last_mut().unwrap().push(cell.clone());
                    }
                    _ => {}
                }
                continue;
            }
            attributes(&tag[name.len()..]);
            match name {
                "table" => parsed.tables.push(Table::default()),
                "tr" if !open.contains(&"thead") => {
                    parsed.tables.last_mut().unwrap().rows.push(Vec::new());
                }
                "th" | "td" => cell.clear(),
                _ => {}
            }
            if !VOID.contains(&name) {
                assert!(KNOWN.contains(&name), "what is <{tag}>?");
                open.push(name);
            }
        }
        assert!(open.is_empty(), "not closed: {open:?}");
        parsed
    }

    /// The table whose first column is called so.
    pub(crate) fn table(&self, first: &str) -> &Table {
        let found = self.tables.iter().find(|t| t.head[0] == first);
        found.unwrap_or_else(|| panic!("no table of {first} in {}", self.text))
    }

    /// Panics unless each mailbox and the total come out at both sums, by the page alone.
    pub(crate) fn adds_up(&self) {
        let table = self.table("mailbox on the target");
        for row in &table.rows {
            let sum = |columns: &[&str]| -> i64 {
                let known = columns.iter().map(|c| table.known(row, c).unwrap_or(0));
                known.sum()
            };
            let archive = table.number(row, "in the archive");
            let parts = [
                "appended",
                "already there",
                "moved in",
                "removed since",
                "collapsed",
                "excluded",
                "refused",
                "doubtful",
                "lost",
                "left",
            ];
            assert_eq!(archive, sum(&parts), "{row:?}");
            let now = table.number(row, "on the target now");
            let before = [
                "on the target before",
                "appended",
                "moved in",
                "from elsewhere",
            ];
            assert_eq!(now, sum(&before) - sum(&["moved out"]), "{row:?}");
        }
    }
}

/// Panics if there is one that could run or load something.
fn attributes(mut rest: &str) {
    const HARMLESS: [&str; 10] = [
        "aria-label",
        "charset",
        "class",
        "content",
        "http-equiv",
        "lang",
        "name",
        "role",
        "scope",
        "tabindex",
    ];
    while !rest.trim().is_empty() {
        let (name, value) = rest.split_once("=\"").expect("a value in quotes");
        assert!(HARMLESS.contains(&name.trim()), "{name}");
        rest = value.split_once('"').expect("the end of a value").1;
    }
}

fn unescaped(words: &str) -> String {
    assert!(!words.contains(['>', '"', '\'']), "not escaped: {words}");
    let mut text = words.to_owned();
    let mut rest = words;
    while let Some((_, behind)) = rest.split_once('&') {
        let (entity, after) = behind.split_once(';').expect("the end of an entity");
        assert!(
            ["lt", "gt", "quot", "#39", "amp"].contains(&entity),
            "{entity}"
        );
        rest = after;
    }
    for (entity, c) in [
        ("lt", "<"),
        ("gt", ">"),
        ("quot", "\""),
        ("#39", "'"),
        ("amp", "&"),
    ] {
        text = text.replace(&format!("&{entity};"), c);
    }
    text
}
