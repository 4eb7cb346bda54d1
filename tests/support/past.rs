//! What an archive has shown, run by run, and must show for those runs for ever.

use mailstow::store::Reader;

use super::nights::{State, state_at, words};

/// What was shown at the end of each run.
#[derive(Default)]
pub struct Past(Vec<(i64, State)>);

impl Past {
    /// Each earlier run is shown as it was. Names do not count, since a mailbox may have got
    /// another one.
    #[track_caller]
    pub fn assert_kept(&self, reader: &Reader) {
        self.0.iter().for_each(|run| assert_kept(reader, run));
    }

    /// The same for the run before alone.
    #[track_caller]
    pub fn assert_last_kept(&self, reader: &Reader) {
        self.0
            .last()
            .into_iter()
            .for_each(|run| assert_kept(reader, run));
    }

    /// What is shown now, after a run at that time.
    pub fn add(&mut self, reader: &Reader, unix: i64) {
        self.0.push((unix, shown(reader)));
    }
}

#[track_caller]
fn assert_kept(reader: &Reader, (unix, state): &(i64, State)) {
    let then = state_at(reader, *unix).expect("a complete run");
    let (then, state) = (nameless(&then), nameless(state));
    let lost: Vec<_> = state.iter().filter(|s| !then.contains(s)).take(5).collect();
    let new: Vec<_> = then.iter().filter(|s| !state.contains(s)).take(5).collect();
    assert!(
        then == state,
        "as of {unix} no longer shown: {lost:#?}\nand shown now: {new:#?}"
    );
}

fn nameless(state: &State) -> Vec<(String, Vec<String>, String)> {
    let entry = |(_, remote, flags, content): &(String, String, Vec<String>, _)| {
        (remote.clone(), flags.clone(), format!("{content:?}"))
    };
    let mut all: Vec<_> = state.iter().map(entry).collect();
    all.sort();
    all
}

/// What is shown now. Unlike `state_now` it bears messages that are skipped.
fn shown(reader: &Reader) -> State {
    let catalog = reader.catalog();
    let mut state = State::new();
    for mailbox in catalog.mailboxes(None).unwrap() {
        for row in catalog.shown(mailbox.id, false).unwrap() {
            let remote = row.remote.to_string();
            let name = mailbox.name.clone();
            state.insert((name, remote, words(&row.flags), row.content.id));
        }
    }
    state
}
