//! What the end of an attempt means for the message, and for those behind it. Pure.

use std::time::Duration;

use crate::contact::describe;
use crate::net::{Disposition, Scope};
use crate::smtp::{SendReply, SmtpError, Stage};

/// How an attempt ended.
#[derive(Debug)]
pub(super) enum Judged {
    /// The server has it.
    Accepted,
    /// The server will not have this message, or it cannot be sent there.
    Refused(String),
    /// It was sent, and nobody heard what became of it.
    Doubtful(SmtpError),
    /// It was not delivered; the same again after a while.
    Later {
        /// Why.
        error: SmtpError,
        /// The least time.
        wait: Duration,
        /// This message alone is meant, so others need not wait for it for ever.
        of_message: bool,
    },
    /// It was not delivered, and no other would be.
    Over(String),
}

pub(super) fn judge(outcome: Result<SendReply, SmtpError>) -> Judged {
    match outcome {
        Ok(SendReply::Accepted { .. }) => Judged::Accepted,
        Ok(reply) => refused(&reply),
        Err(error) if error.may_be_delivered() => Judged::Doubtful(error),
        Err(error) => match error.disposition() {
            (Scope::Message, _) => Judged::Refused(describe(&error)),
            (_, Disposition::RetryAfter(wait)) => Judged::Later {
                error,
                wait,
                of_message: false,
            },
            _ => Judged::Over(describe(&error)),
        },
    }
}

fn refused(reply: &SendReply) -> Judged {
    let SendReply::Refused {
        code,
        words,
        at,
        permanent,
    } = reply
    else {
        return Judged::Accepted;
    };
    let said = format!("{code} {words}");
    // The envelope is the same for every message, and all the server knows of this one by then is
    // its size. QUIRK(qmail, 1.03): refuses recipients without an enhanced code.
    let of_size = *code == 552 || words.starts_with("5.3.4");
    let who = match at {
        Stage::RcptTo => Some("the recipient"),
        Stage::MailFrom => Some("the sender"),
        Stage::Data | Stage::End => None,
    };
    match (reply.disposition(), who) {
        (Some((scope, Disposition::RetryAfter(wait))), _) => Judged::Later {
            error: SmtpError::Closing { words: said, wait },
            wait,
            of_message: scope == Scope::Message,
        },
        (_, Some(who)) if *permanent && !of_size => {
            Judged::Over(format!("the server refuses {who}: {said}"))
        }
        (Some((Scope::Message, _)) | None, _) => Judged::Refused(said),
        (Some(_), _) => Judged::Over(format!("the server refuses everything: {said}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(judged: &Judged) -> String {
        match judged {
            Judged::Accepted => "accepted".to_owned(),
            Judged::Refused(_) => "refused".to_owned(),
            Judged::Doubtful(_) => "doubtful".to_owned(),
            Judged::Later { of_message, .. } => format!("later {of_message}"),
            Judged::Over(reason) => reason.clone(),
        }
    }

    #[test]
    fn a_refusal_is_of_the_message_of_the_moment_or_of_everything() {
        use Stage::{Data, End, MailFrom, RcptTo};
        for (code, said, at, want) in [
            (554, "5.6.0 a virus", End, "refused"),
            (552, "5.3.4 too large", MailFrom, "refused"),
            (552, "too large", RcptTo, "refused"),
            (
                550,
                "no such user",
                RcptTo,
                "the server refuses the recipient: 550 no such user",
            ),
            (
                550,
                "5.7.1 not you",
                MailFrom,
                "the server refuses the sender: 550 5.7.1 not you",
            ),
            (
                530,
                "5.7.0 sign in",
                Data,
                "the server refuses everything: 530 5.7.0 sign in",
            ),
            (450, "4.2.0 greylisted", RcptTo, "later false"),
            (451, "4.6.0 cannot scan this", End, "later true"),
            (
                550,
                "5.4.5 Daily user sending limit exceeded.",
                End,
                "later false",
            ),
        ] {
            let reply = SendReply::Refused {
                code,
                words: said.to_owned(),
                at,
                permanent: code >= 500,
            };
            assert_eq!(words(&judge(Ok(reply))), want, "{code} {said}");
        }
    }

    #[test]
    fn an_error_is_a_doubt_only_behind_the_message() {
        let broken = || SmtpError::from(std::io::Error::from(std::io::ErrorKind::UnexpectedEof));
        for (error, want) in [
            (broken(), "later false"),
            (
                SmtpError::Doubtful {
                    cause: Box::new(broken()),
                },
                "doubtful",
            ),
            (SmtpError::LoneDot, "refused"),
            (SmtpError::EightBit, "refused"),
        ] {
            assert_eq!(words(&judge(Err(error))), want);
        }
        let wrong = SmtpError::SignInRefused { words: "no".into() };
        assert!(matches!(judge(Err(wrong)), Judged::Over(_)));
        let accepted = SendReply::Accepted {
            words: String::new(),
        };
        assert!(matches!(judge(Ok(accepted)), Judged::Accepted));
    }
}
