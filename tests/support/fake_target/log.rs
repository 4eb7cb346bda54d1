//! What the target was told.

/// A line that was read as a command.
#[derive(Debug, Clone)]
pub struct Received {
    /// Which connection it came over, from 1.
    pub connection: usize,
    pub tag: String,
    /// In capitals; `UID FETCH` is one name.
    pub name: String,
    /// Strings without their quotes; what stands in parentheses is one argument. Of an APPEND
    /// what stands before its first message.
    pub args: Vec<String>,
    /// As it came, without the bytes of literals; of an APPEND the line of its first literal.
    pub line: String,
    /// The wire name of the open mailbox.
    pub selected: Option<String>,
    /// It was no command but a line of a message whose APPEND had been refused.
    pub smuggled: bool,
}

/// An APPEND command, as far as it came.
#[derive(Debug, Clone, Default)]
pub struct Append {
    pub connection: usize,
    /// Which APPEND of all connections this was, from 1.
    pub number: usize,
    /// As it was written.
    pub mailbox: String,
    pub messages: Vec<Appended>,
    /// The tagged answer without its tag; `None` where there was none.
    pub answer: Option<String>,
    /// UIDs given, in the order of the messages; empty where nothing was stored at once.
    pub uids: Vec<u32>,
}

/// One message of an APPEND.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Appended {
    pub flags: Vec<String>,
    /// What stood in quotes.
    pub date: Option<String>,
    /// Empty where the literal was refused at its head or broke off.
    pub body: Vec<u8>,
    /// The length announced.
    pub length: usize,
    /// The literal waited for the server.
    pub synchronising: bool,
}

/// A sign-in, whatever came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SignIn {
    pub connection: usize,
    /// Empty where there was none.
    pub authzid: String,
    pub user: String,
    pub password: String,
}
