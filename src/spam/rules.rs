//! The one table of rules by which a header tells spam.
//!
//! Left out on purpose:
//! * scores without a verdict, whose threshold is not known: X-Rspamd-Score, -Bar, -Report,
//!   X-Spam-Score, X-Spam-Report, X-Ham-Report, X-Rspam-Status, X-Barracuda-Spam-Score,
//!   X-IronPort-Anti-Spam-Result, X-Mimecast-Spam-Score, X-TMASE-*, X-Brightmail-Tracker;
//! * X-Microsoft-Antispam, whose BCL says bulk, which is not spam by itself;
//! * X-Forefront-Antispam-Report-Untrusted, X-Microsoft-Antispam-Untrusted: another system's
//!   verdict, which Microsoft itself does not believe;
//! * X-Zoho-*: only ever seen where bulk mailers forged them;
//! * X-YMailISG, X-Yahoo-Filtered-Bulk, X-Mras: meaning unknown;
//! * Authentication-Results: failed authentication is not spam.

use super::value::{Test, Words};

/// How one header field tells spam.
#[derive(Debug)]
pub(super) struct Rule {
    /// Name of the field, compared without case.
    pub(super) header: &'static str,
    pub(super) test: Test,
}

const fn rule(header: &'static str, test: Test) -> Rule {
    Rule { header, test }
}

const fn words(spam: &'static [&'static str], ham: &'static [&'static str]) -> Words {
    Words { spam, ham }
}

const YES_NO: Test = Test::Word(words(&["yes"], &["no"]));
const ONE_ZERO: Test = Test::Word(words(&["1"], &["0"]));
const SPAM_OR_TRUE: Test = Test::Word(words(&["spam", "true"], &["false", "no"]));
const VADE_STATE: Test = Test::Word(words(&["spam*"], &["ok"]));
const UNITED_INTERNET: Test = Test::Word(words(&["junk"], &["notjunk"]));
const KASPERSKY: Test = Test::Word(words(
    &["spam", "probable_spam", "blacklisted"],
    &["not_detected"],
));

/// One rule for each name.
pub(super) const RULES: &[Rule] = &[
    // SpamAssassin, and many that stamp its names: github.com/vexim/vexim2/issues/206
    rule("X-Spam-Flag", YES_NO),
    rule("X-Spam-Status", YES_NO),
    rule("X-Spam-Level", Test::Stars(5)),
    // Rspamd and others: github.com/afewmail/afew/issues/299. FastMail of 2002 wrote `spam`,
    // `high` and percentages here, on much ordinary mail; those are not read. Mail.ru's
    // `undefined` is no verdict either.
    rule("X-Spam", YES_NO),
    // Rspamd: `default: False [-3.76 / 15.00]`, where True is its action
    rule(
        "X-Spamd-Result",
        Test::WordAfter(":", words(&["true"], &["false"])),
    ),
    // Microsoft: MicrosoftDocs/defender-docs message-headers-eop-mdo.md
    rule("X-Forefront-Antispam-Report", Test::Forefront),
    rule("X-MS-Exchange-Organization-SCL", Test::AtLeast(5)),
    rule("X-CustomSpam", Test::Present),
    // Google Workspace, where an administrator turned it on in routing
    rule("X-Gm-Spam", ONE_ZERO),
    rule("X-Gm-Phishy", ONE_ZERO),
    // Google Takeout; from memory
    rule("X-Gmail-Labels", Test::Label("Spam")),
    // Proofpoint, also iCloud: decode-spam-headers
    rule("X-Proofpoint-Spam-Details", Test::Proofpoint),
    // Barracuda: decode-spam-headers
    rule("X-Barracuda-Spam-Status", YES_NO),
    // Vade, OVH: decode-spam-headers, Spam-Scores (300 and above is bad, 100 to 300 is grey)
    rule("X-VR-SPAMSTATE", VADE_STATE),
    rule("X-VADE-SPAMSTATE", VADE_STATE),
    rule("X-VR-SPAMSCORE", Test::AtLeast(300)),
    rule(
        "X-Ovh-Spam-Reason",
        Test::WordAfter("vr:", words(&["spam*"], &["ok"])),
    ),
    // Sophos PureMessage: Spam-Scores
    rule("X-PMX-Spam", Test::AtLeastAfter("Probability=", 50)),
    // GMX: Spam-Scores; `6 (nemesis text pattern profiler)`. Negative codes say that the mail
    // was not scanned.
    rule("X-GMX-Antispam", Test::AtLeast(1)),
    // 1&1, GMX, Web.de: `junk:10;...`, `unknown:2;...`; values in part from memory
    rule("X-UI-Filterresults", UNITED_INTERNET),
    rule("X-UI-Out-Filterresults", UNITED_INTERNET),
    // SpamExperts, N-able: decode-spam-headers, "What do I do when I receive spam"
    rule(
        "X-SpamExperts-Class",
        Test::Word(words(&["spam", "phish"], &["ham", "whitelisted", "unsure"])),
    ),
    // Read by decode-spam-headers; no sample of the last two was found
    rule("X-IP-Spam-Verdict", SPAM_OR_TRUE),
    rule("X-SEA-Spam", SPAM_OR_TRUE),
    rule("X-TWC-Junkmail-Folder", SPAM_OR_TRUE),
    // Kaspersky: support.kaspersky.com/KLMS/8.2/en-us/56122.htm. `not scanned, disabled by
    // settings` stands in real mail, so not every other word than `not_detected` is spam.
    rule("X-KLMS-AntiSpam-Status", KASPERSKY),
    rule("X-KSMG-AntiSpam-Status", KASPERSKY),
    // DSPAM, bogofilter, Yandex; the verdicts for spam from memory
    rule(
        "X-DSPAM-Result",
        Test::Word(words(&["spam"], &["innocent", "whitelisted"])),
    ),
    rule(
        "X-Bogosity",
        Test::Word(words(&["spam", "yes"], &["ham", "no"])),
    ),
    rule("X-Yandex-Spam", Test::Word(words(&["4"], &["1"]))),
    // Migadu documents {SPAM} for POP users: migadu.com/en/guides/pop.html. The others are
    // usual settings of SpamAssassin, amavis and hosters; five stars are SpamAssassin's own
    // proposal in local.cf.
    rule(
        "Subject",
        Test::SubjectPrefix(&[
            "{SPAM}",
            "[SPAM]",
            "***SPAM***",
            "*** SPAM ***",
            "*****SPAM*****",
        ]),
    ),
];
