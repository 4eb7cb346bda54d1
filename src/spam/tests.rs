use proptest::prelude::*;

use super::rules::RULES;
use super::*;
use crate::header;

/// What is judged of a header of these lines.
fn verdict(lines: &str) -> Option<bool> {
    let header =
        format!("From: a@example.org\r\n{lines}\r\nSubject: hello\r\n\r\nX-Spam-Flag: YES\r\n");
    judge(header.as_bytes()).map(|found| found.spam)
}

const SPAM: Option<bool> = Some(true);
const HAM: Option<bool> = Some(false);

/// Values seen in real mail where some were found, else as documented.
const CASES: &[(&str, Option<bool>)] = &[
    ("X-Spam-Flag: YES", SPAM),
    ("x-spam-flag:yes", SPAM),
    ("X-Spam-Flag : YES", SPAM),
    ("X-Spam-Flag: NO", HAM),
    ("X-Spam-Flag: YESTERDAY", None),
    ("X-Spam-Flag: ", None),
    ("X-Spam-Status: Yes, score=6.40", SPAM),
    ("X-Spam-Status: Yes/7.1", SPAM),
    ("X-Spam-Status: No, hits=0.7 required=5.0", HAM),
    ("X-Spam-Status:\r\n\tYes, score=15.0 required=5.0", SPAM),
    ("X-Spam-Status: None", None),
    ("X-Spam-Level: *****", SPAM),
    ("X-Spam-Level: ****************", SPAM),
    ("X-Spam-Level: ****", HAM),
    ("X-Spam-Level: **** *", HAM),
    ("X-Spam-Level:", HAM),
    ("X-Spam: Yes", SPAM),
    ("X-Spam: undefined", None),
    ("X-Spam: spam", None),
    ("X-Spam: 90", None),
    (
        "X-Spamd-Result: default: True [16.10 / 15.00];\r\n BAYES_SPAM(5.10)[99.99%];",
        SPAM,
    ),
    (
        "X-Spamd-Result: default: False [6.40 / 15.00]; FROM_HAS_DN(0.00)[];",
        HAM,
    ),
    (
        "X-Forefront-Antispam-Report: EFV:NLI;SFV:SPM;SFS:(28900001);DIR:INB;SFP:;SCL:5;CAT:SPM;LANG:en;",
        SPAM,
    ),
    (
        "X-Forefront-Antispam-Report: CIP:198.51.100.50;CTRY:US;LANG:en;\r\n SFV:\r\n SPM;IPV:NLI",
        SPAM,
    ),
    ("X-Forefront-Antispam-Report: SFV:SKS;SCL:6", SPAM),
    ("X-Forefront-Antispam-Report: SFV:SKB", SPAM),
    ("X-Forefront-Antispam-Report: SFV:BLK", SPAM),
    ("X-Forefront-Antispam-Report: SFV:NSPM;CAT:HPHISH", SPAM),
    ("X-Forefront-Antispam-Report: CAT:MALW", SPAM),
    ("X-Forefront-Antispam-Report: SCL:9;CAT:NONE", SPAM),
    ("X-Forefront-Antispam-Report: SFV:NSPM;CAT:NONE;SCL:1", HAM),
    ("X-Forefront-Antispam-Report: SFV:SKQ;CAT:PHSH;SCL:-1", HAM),
    ("X-Forefront-Antispam-Report: SFV:SKA;CAT:SPM", HAM),
    ("X-Forefront-Antispam-Report: SCL:1;SRV:", HAM),
    (
        "X-Forefront-Antispam-Report: CIP:198.51.100.50;CTRY:US",
        None,
    ),
    // A sender's outgoing filter, from an ordinary kernel patch.
    (
        "X-Forefront-Antispam-Report: SFV:SPM;SFS:(10019020);DIR:OUT;SFP:1501;SCL:5;CAT:OSPM;",
        None,
    ),
    (
        "X-Forefront-Antispam-Report-Untrusted: SFV:SPM;CAT:PHSH;SCL:5",
        None,
    ),
    ("X-Microsoft-Antispam-Untrusted: BCL:9", None),
    ("X-Microsoft-Antispam: BCL:9;PCL:5", None),
    ("X-MS-Exchange-Organization-SCL: 5", SPAM),
    ("X-MS-Exchange-Organization-SCL: 9", SPAM),
    ("X-MS-Exchange-Organization-SCL: -1", HAM),
    ("X-MS-Exchange-Organization-SCL: 4", HAM),
    ("X-MS-Exchange-Organization-SCL: high", None),
    ("X-CustomSpam: Image links to remote sites", SPAM),
    ("X-Gm-Spam: 1", SPAM),
    ("X-Gm-Spam: 0", HAM),
    ("X-Gm-Phishy: 1", SPAM),
    ("X-Gm-Spam: 0\r\nX-Gm-Phishy: 0", HAM),
    ("X-Gmail-Labels: Spam,Unread", SPAM),
    ("X-Gmail-Labels: =?UTF-8?Q?Ge=C3=B6ffnet,Spam?=", SPAM),
    ("X-Gmail-Labels: Inbox,Spam reports", None),
    (
        "X-Proofpoint-Spam-Details: rule=spam policy=default score=100 spamscore=100",
        SPAM,
    ),
    (
        "X-Proofpoint-Spam-Details: rule=quarantine_phish policy=default",
        SPAM,
    ),
    ("X-Proofpoint-Spam-Details: rule=definitive score=99", SPAM),
    ("X-Proofpoint-Spam-Details: rule=malware score=99", SPAM),
    (
        "X-Proofpoint-Spam-Details: rule=notspam policy=default score=0 spamscore=0",
        HAM,
    ),
    (
        "X-Proofpoint-Spam-Details: rule=outbound_notspam policy=outbound score=0",
        None,
    ),
    (
        "X-Proofpoint-Spam-Details: rule=spam_outbound_notspam policy=spam_outbound",
        None,
    ),
    (
        "X-Proofpoint-Spam-Details: rule=quarantine_spam_outbound_passthrough policy=quarantine",
        None,
    ),
    (
        "X-Barracuda-Spam-Status: Yes, SCORE=9.10 using global scores of TAG_LEVEL=3.5",
        SPAM,
    ),
    (
        "X-Barracuda-Spam-Status: No,\r\n SCORE=-2.02 using global scores of\r\n TAG_LEVEL=1000.0",
        HAM,
    ),
    ("X-VR-SPAMSTATE: SPAM", SPAM),
    ("X-VR-SPAMSTATE: SPAM:HIGH", SPAM),
    ("X-VADE-SPAMSTATE: spam_low", SPAM),
    ("X-VR-SPAMSTATE: OK", HAM),
    ("X-VADE-SPAMSTATE: clean", None),
    ("X-VR-SPAMSCORE: 300", SPAM),
    ("X-VR-SPAMSCORE: 200", HAM),
    ("X-VR-SPAMSCORE: -100", HAM),
    ("X-VR-SPAMSCORE: many", None),
    ("X-VR-SPAMSTATE: SPAM\r\nX-VR-SPAMSCORE: 200", SPAM),
    (
        "X-Ovh-Spam-Reason: vr: SPAM; dkim: disabled; spf: disabled",
        SPAM,
    ),
    (
        "X-Ovh-Spam-Reason: vr: OK; dkim: disabled; spf: disabled",
        HAM,
    ),
    (
        "X-Ovh-Spam-Reason: vr: BOUNCE; dkim: disabled; spf: disabled",
        None,
    ),
    (
        "X-PMX-Spam: Gauge=XXXXXXXX, Probability=50%, Report='\r\n HTML 0.1'",
        SPAM,
    ),
    (
        "X-PMX-Spam: Gauge=IIIIIIII, Probability=8%, Report='\r\n HTML_00_01 0.05'",
        HAM,
    ),
    ("X-PMX-Spam: Gauge=", None),
    (
        "X-GMX-Antispam: 6 (nemesis text pattern profiler); Detail=V3;",
        SPAM,
    ),
    (
        "X-GMX-Antispam: 0 (Mail was not recognized as spam); Detail=V3;",
        HAM,
    ),
    (
        "X-GMX-Antispam: -2 (not scanned, spam filter disabled)",
        HAM,
    ),
    ("X-UI-Filterresults: junk:10;V03:K0:abc", SPAM),
    ("X-UI-Filterresults: notjunk:1;V03:K0:abc", HAM),
    (
        "X-UI-Filterresults: unknown:2;V03:K0:cdojl5YHfkg=:jhTbQXp38SL2za",
        None,
    ),
    ("X-UI-Out-Filterresults: junk:10;V03", SPAM),
    ("X-UI-Out-Filterresults: notjunk:1;V03", HAM),
    ("X-SpamExperts-Class: spam", SPAM),
    ("X-SpamExperts-Class: phish", SPAM),
    ("X-SpamExperts-Class: ham", HAM),
    ("X-SpamExperts-Class: whitelisted", HAM),
    ("X-IP-Spam-Verdict: spam", SPAM),
    ("X-IP-Spam-Verdict: legit", None),
    ("X-SEA-Spam: true", SPAM),
    ("X-SEA-Spam: false", HAM),
    ("X-TWC-Junkmail-Folder: true", SPAM),
    ("X-KLMS-AntiSpam-Status: spam", SPAM),
    ("X-KLMS-AntiSpam-Status: not_detected", HAM),
    (
        "X-KLMS-AntiSpam-Status: not scanned, disabled by settings",
        None,
    ),
    ("X-KSMG-AntiSpam-Status: probable_spam", SPAM),
    ("X-KSMG-AntiSpam-Status: blacklisted", SPAM),
    ("X-DSPAM-Result: Spam", SPAM),
    ("X-DSPAM-Result: Innocent", HAM),
    (
        "X-Bogosity: Spam, tests=bogofilter, spamicity=1.000000, version=1.2.5",
        SPAM,
    ),
    ("X-Bogosity: Yes, tests=bogofilter", SPAM),
    (
        "X-Bogosity: Ham, tests=bogofilter, spamicity=0.000000, version=1.2.5",
        HAM,
    ),
    ("X-Bogosity: Unsure, tests=bogofilter, spamicity=0.5", None),
    ("X-Yandex-Spam: 4", SPAM),
    ("X-Yandex-Spam: 1", HAM),
    ("X-Yandex-Spam: 2", None),
    ("Subject: {SPAM} cheap watches", SPAM),
    ("Subject: [spam] cheap watches", SPAM),
    ("Subject: ***SPAM*** cheap watches", SPAM),
    ("Subject: *** Spam *** cheap watches", SPAM),
    ("Subject: *****SPAM***** cheap watches", SPAM),
    ("Subject:\r\n =?utf-8?B?KioqU1BBTSoqKiDDpA==?=", SPAM),
    ("Subject: =?iso-8859-1?Q?=5BSPAM=5D_caf=E9?=", SPAM),
    ("Subject: Re: [SPAM] cheap watches", None),
    ("Subject: [SPAMCOP] report", None),
    ("Subject: Spam nostalgia", None),
    ("Subject: \"[SPAM]\" quoted", None),
    // Scores without a threshold, and what is never evidence.
    ("X-Spam-Score: 25.0", None),
    ("X-Rspamd-Score: 25.0", None),
    ("X-Barracuda-Spam-Score: 9.9", None),
    ("X-YMailISG: xyz", None),
    ("X-Yahoo-Filtered-Bulk: 192.0.2.1", None),
    ("X-Mras: Spam", None),
    (
        "Authentication-Results: mx.example.org; spf=fail; dkim=fail; dmarc=fail",
        None,
    ),
    (
        "X-Zoho-Spam-Status: No\r\nX-ZohoMail-DKIM: pass (identity @example.org)",
        None,
    ),
    ("X-Zoho-Spam-Status: Yes\r\nX-Zoho-Virus-Status: 2", None),
];

#[test]
fn each_value_is_judged_as_its_software_means_it() {
    for (lines, expected) in CASES {
        assert_eq!(verdict(lines), *expected, "{lines}");
    }
}

#[test]
fn each_rule_is_unique_and_has_a_case_for_spam() {
    for (at, rule) in RULES.iter().enumerate() {
        let same = |name: &str| name.eq_ignore_ascii_case(rule.header);
        assert!(!RULES[..at].iter().any(|r| same(r.header)), "{rule:?}");
        let tried = |(lines, verdict): &(&str, Option<bool>)| {
            *verdict == SPAM && lines.split(':').next().is_some_and(|n| same(n.trim()))
        };
        assert!(CASES.iter().any(tried), "no case of spam for {rule:?}");
    }
}

#[test]
fn spam_wins_over_forged_negatives_and_the_topmost_of_one_name_counts() {
    let forged = "X-Zoho-Spam-Status: No\r\nX-ZohoMail-DKIM: pass\r\nX-Spam-Status: No, score=-9.0\r\nX-Bogosity: Ham";
    assert_eq!(verdict(&format!("{forged}\r\nX-Spam-Flag: YES")), SPAM);
    assert_eq!(verdict(&format!("X-Spam-Flag: YES\r\n{forged}")), SPAM);
    assert_eq!(verdict("X-Spam-Flag: NO\r\nX-Spam-Flag: YES"), HAM);
    assert_eq!(verdict("X-Spam-Flag: YES\r\nx-spam-flag: NO"), SPAM);
    assert_eq!(verdict("Subject: hello\r\nSubject: [SPAM] hello"), None);
    // The topmost counts also where it says nothing.
    assert_eq!(verdict("X-Spam: undefined\r\nX-Spam: Yes"), None);
}

#[test]
fn the_evidence_is_the_deciding_words_in_one_printable_line() {
    let evidence = |header: &[u8]| judge(header).unwrap().evidence;
    assert_eq!(evidence(b"x-spam-flag:\tYES\n\n"), "X-Spam-Flag: YES");
    assert_eq!(evidence(b"X-Spam-Level:\n\n"), "X-Spam-Level:");
    assert_eq!(
        evidence(b"X-Spam-Status: Yes,\r\n\tscore=7.1\r\n  required=5.0\r\n\r\n"),
        "X-Spam-Status: Yes, score=7.1 required=5.0"
    );
    assert_eq!(
        evidence(b"X-Forefront-Antispam-Report: CIP:192.0.2.1;SFV:SPM;CAT:PHSH\n\n"),
        "X-Forefront-Antispam-Report: SFV:SPM"
    );
    assert_eq!(
        evidence("Subject: [SPAM] \u{202e}caf\u{e9} \u{1b}[31m \u{7f}\n\n".as_bytes()),
        "Subject: [SPAM] ?caf\u{e9} ?[31m ?"
    );
    let long = evidence(format!("X-CustomSpam: {}\n\n", "\u{e9}".repeat(5000)).as_bytes());
    assert_eq!(long.chars().count(), "X-CustomSpam: ".len() + 80);
    // The topmost field decides, and of verdicts otherwise the topmost is told.
    assert_eq!(
        evidence(b"X-Gm-Spam: 0\nX-Bogosity: Ham\nX-Spam: Yes\nX-Spam-Flag: YES\n\n"),
        "X-Spam: Yes"
    );
    assert_eq!(
        evidence(b"X-Gm-Spam: 0\nX-Spam-Flag: NO\n\n"),
        "X-Gm-Spam: 0"
    );
}

#[test]
fn stars_count_only_where_their_filter_says_nothing_else() {
    let of = |header: &str| judge(header.as_bytes()).map(|j| j.spam);
    let stars = "X-Spam-Level: *******\r\n";
    assert_eq!(of(stars), Some(true));
    assert_eq!(
        of(&format!("X-Spam-Status: No, score=7\r\n{stars}")),
        Some(false)
    );
    assert_eq!(of(&format!("{stars}X-Spam-Flag: NO\r\n")), Some(false));
    assert_eq!(of(&format!("{stars}X-Bogosity: Ham\r\n")), Some(true));
}

#[test]
fn rubbish_and_headers_without_end_carry_no_verdict() {
    for rubbish in [
        &b""[..],
        b"\n",
        b"\r\n\r\nX-Spam-Flag: YES\r\n",
        b" X-Spam-Flag: YES\r\n\r\n",
        b"X-Spam-Flag\r\n: YES\r\n",
        b"X-Spam-Flag YES",
        b"\0\xff\xfe::::\n \n\n",
        b"X-PMX-Spam: Probability=99999999999999999999%\n\n",
    ] {
        assert_eq!(judge(rubbish), None, "{rubbish:?}");
    }
    assert!(judge(b"X-Spam-Flag: YES").is_some_and(|j| j.spam));
}

/// Reading twice as long for each line would not come to an end here.
#[test]
fn a_hostile_header_is_cut_and_does_not_hide_what_stands_before() {
    let lines = b"X-Spam-Level: *\r\n".repeat(500_000);
    let folded = [
        b"X-Forefront-Antispam-Report: SFV:".as_slice(),
        &b";\r\n SFV:".repeat(500_000),
    ]
    .concat();
    let subject = [b"Subject: ".as_slice(), &b"=?utf-8?q?=".repeat(500_000)].concat();
    for (hostile, says) in [(lines, HAM), (folded, None), (subject, None)] {
        assert_eq!(judge(&hostile).map(|j| j.spam), says);
        let after = [&hostile[..], b"\r\nX-Spam-Flag: YES\r\n\r\n"].concat();
        assert_eq!(judge(&after).map(|j| j.spam), says, "read behind the cut");
        let before = [b"X-Spam-Flag: YES\r\n", &hostile[..]].concat();
        assert_eq!(judge(&before).map(|j| j.spam), SPAM);
        assert!(
            header::fields(&hostile)
                .map(|(_, v)| v.len())
                .sum::<usize>()
                <= header::HEADER_MAX
        );
    }
}

proptest! {
    #[test]
    fn any_bytes_are_judged(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(judge(&bytes).is_none_or(|j| j.evidence.chars().count() <= 120));
    }

    /// Real names with any value, which plain bytes never hit.
    #[test]
    fn any_value_of_each_rule_is_judged(at in 0..RULES.len(), value in prop::collection::vec(any::<u8>(), 0..200)) {
        let header = [RULES[at].header.as_bytes(), b": ", &value[..], b"\n\n"].concat();
        if let Some(found) = judge(&header) {
            prop_assert!(!found.evidence.contains(char::is_control));
        }
    }
}
