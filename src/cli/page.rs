//! A report as one page for a browser: no script, nothing loaded from elsewhere, to be filed or
//! printed.
//!
//! What stands in it comes from servers and messages, so it is text until the very end, and this
//! file alone makes HTML of it.

use std::fmt::Write as _;

use super::text;

/// A page.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    pub(crate) title: String,
    pub(crate) tone: Tone,
    /// How it ended, a line each.
    pub(crate) verdict: Vec<String>,
    /// Who, where, when.
    pub(crate) facts: Vec<(&'static str, String)>,
    pub(crate) sections: Vec<Section>,
    pub(crate) footer: String,
}

/// How grave the end is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// All is well.
    Good,
    /// Something is to be looked at, or to be gone on with.
    Look,
    /// It failed.
    Bad,
}

/// A part of a page under a heading.
#[derive(Debug, Clone, Default)]
pub(crate) struct Section {
    pub(crate) title: String,
    pub(crate) table: Option<Table>,
    /// Sentences below the table.
    pub(crate) said: Vec<Said>,
}

/// A sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    /// Something is not as it should be.
    pub(crate) grave: bool,
    pub(crate) text: String,
}

/// A table; the first cell of each row is what the row is about.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
    pub(crate) head: Vec<(&'static str, Cells)>,
    pub(crate) rows: Vec<Vec<String>>,
    pub(crate) total: Option<Vec<String>>,
}

/// What the cells of a column hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cells {
    Text,
    Number,
    /// Ids.
    Code,
}

impl Cells {
    const fn class(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Number => "number",
            Self::Code => "code",
        }
    }
}

/// Should an escape ever be forgotten, the browser still runs and loads nothing.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";
/// More columns than this are set narrower.
const MANY: usize = 9;
const STYLE: &str = include_str!("page.css");

impl Page {
    /// The page as HTML.
    pub(crate) fn html(&self) -> String {
        let mut out = String::with_capacity(16 * 1024);
        let title = escaped(&self.title);
        put(
            &mut out,
            format_args!(
                "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
                 <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
                 <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
                 <meta name=\"color-scheme\" content=\"light dark\">\n\
                 <meta name=\"referrer\" content=\"no-referrer\">\n\
                 <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
                 <h1>{title}</h1>\n"
            ),
        );
        let tone = match self.tone {
            Tone::Good => "good",
            Tone::Look => "look",
            Tone::Bad => "bad",
        };
        put(&mut out, format_args!("<div class=\"verdict {tone}\">\n"));
        for line in &self.verdict {
            put(&mut out, format_args!("<p>{}</p>\n", escaped(line)));
        }
        out.push_str("</div>\n<dl>\n");
        for (name, value) in &self.facts {
            put(
                &mut out,
                format_args!(
                    "<dt>{}</dt><dd><bdi>{}</bdi></dd>\n",
                    escaped(name),
                    escaped(value)
                ),
            );
        }
        out.push_str("</dl>\n");
        for section in &self.sections {
            section.html(&mut out);
        }
        put(
            &mut out,
            format_args!(
                "<footer>{}</footer>\n</body>\n</html>\n",
                escaped(&self.footer)
            ),
        );
        out
    }
}

impl Section {
    fn html(&self, out: &mut String) {
        let title = escaped(&self.title);
        put(out, format_args!("<section>\n<h2>{title}</h2>\n"));
        if let Some(table) = &self.table {
            // It scrolls by itself on a narrow screen, also by keyboard.
            put(
                out,
                format_args!(
                    "<div class=\"wide\" role=\"region\" aria-label=\"{title}\" tabindex=\"0\">\n"
                ),
            );
            table.html(out);
            out.push_str("</div>\n");
        }
        for said in &self.said {
            let class = if said.grave { " class=\"grave\"" } else { "" };
            put(out, format_args!("<p{class}>{}</p>\n", escaped(&said.text)));
        }
        out.push_str("</section>\n");
    }
}

impl Table {
    fn html(&self, out: &mut String) {
        let many = if self.head.len() > MANY {
            " class=\"many\""
        } else {
            ""
        };
        put(out, format_args!("<table{many}>\n<thead><tr>"));
        for (name, cells) in &self.head {
            put(
                out,
                format_args!(
                    "<th scope=\"col\" class=\"{}\">{}</th>",
                    cells.class(),
                    escaped(name)
                ),
            );
        }
        out.push_str("</tr></thead>\n<tbody>\n");
        for row in &self.rows {
            self.row(out, row);
        }
        out.push_str("</tbody>\n");
        if let Some(total) = &self.total {
            out.push_str("<tfoot>\n");
            self.row(out, total);
            out.push_str("</tfoot>\n");
        }
        out.push_str("</table>\n");
    }

    fn row(&self, out: &mut String, row: &[String]) {
        out.push_str("<tr>");
        for (n, (cell, (_, cells))) in row.iter().zip(&self.head).enumerate() {
            let (class, cell) = (cells.class(), escaped(cell));
            if n == 0 {
                put(
                    out,
                    format_args!("<th scope=\"row\" class=\"{class}\"><bdi>{cell}</bdi></th>"),
                );
            } else {
                put(
                    out,
                    format_args!("<td class=\"{class}\"><bdi>{cell}</bdi></td>"),
                );
            }
        }
        out.push_str("</tr>\n");
    }
}

fn put(out: &mut String, what: std::fmt::Arguments<'_>) {
    out.write_fmt(what).unwrap_or_default();
}

/// Text that is only text: in an element and in an attribute in double quotes.
fn escaped(raw: &str) -> String {
    let visible = text::escaped(raw);
    let mut out = String::with_capacity(visible.len());
    for c in visible.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "</title></style><script>alert(1)</script><img src=x onerror='x'>\"&\u{202e}\u{7}\r\n\0\u{9b}";

    #[test]
    fn whatever_a_server_says_stays_text_wherever_it_stands() {
        let said = Said {
            grave: true,
            text: HOSTILE.to_owned(),
        };
        let page = Page {
            title: HOSTILE.to_owned(),
            tone: Tone::Look,
            verdict: vec![HOSTILE.to_owned()],
            facts: vec![("From", HOSTILE.to_owned())],
            sections: vec![Section {
                title: HOSTILE.to_owned(),
                table: Some(Table {
                    head: vec![("a", Cells::Text), ("b", Cells::Code)],
                    rows: vec![vec![HOSTILE.to_owned(), HOSTILE.to_owned()]],
                    total: Some(vec![HOSTILE.to_owned(), HOSTILE.to_owned()]),
                }),
                said: vec![said],
            }],
            footer: HOSTILE.to_owned(),
        };
        let html = page.html();
        let shown = "&lt;/title&gt;&lt;/style&gt;&lt;script&gt;alert(1)&lt;/script&gt;\
                     &lt;img src=x onerror=&#39;x&#39;&gt;&quot;&amp;\\u{202e}\\u{7}\\r\\n\\u{0}\\u{9b}";
        // Twice the titles, and everything else once.
        assert_eq!(html.matches(shown).count(), 12, "{html}");
        let lower = html.to_lowercase();
        for never in ["<script", "<img", "http:", "https:", "url(", "@import"] {
            assert!(!lower.contains(never), "{never}: {html}");
        }
        for opened in ["style", "title", "body", "html", "section", "table"] {
            let closed = format!("</{opened}>");
            assert_eq!(html.matches(&closed).count(), 1, "{opened}: {html}");
        }
        let odd = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
        assert!(!html.contains(odd), "{html}");
    }
}
