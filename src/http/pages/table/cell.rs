//! What a list shows: rows of cells.

use serde::Serialize;

/// How a cell is to be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Tone {
    /// As any text.
    #[default]
    Plain,
    /// Less than others.
    Quiet,
    /// A mark that all is well.
    Good,
    /// A mark that something waits.
    Warn,
    /// A mark that something is wrong.
    Bad,
    /// A mark without a judgement.
    Info,
}

/// A cell.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Cell {
    /// What it says.
    pub text: String,
    /// Where it leads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub href: Option<String>,
    /// A second, smaller line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// How it is to be seen.
    pub tone: Tone,
    /// Letters of one width: ids, hashes.
    pub mono: bool,
    /// Not to be broken into lines.
    pub whole: bool,
    /// What the export says instead.
    #[serde(skip)]
    export: Option<String>,
}

impl Cell {
    /// A text.
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }
    /// A text that leads somewhere on this site.
    pub fn link(text: impl Into<String>, href: impl Into<String>) -> Self {
        Self { href: Some(href.into()), ..Self::text(text) }
    }
    /// A mark, as of a state.
    pub fn mark(text: impl Into<String>, tone: Tone) -> Self {
        Self { tone, ..Self::text(text) }
    }
    /// An id: letters of one width.
    pub fn id(text: impl Into<String>) -> Self {
        Self { mono: true, ..Self::text(text) }
    }
    /// The same, to be seen otherwise.
    #[must_use]
    pub const fn toned(mut self, tone: Tone) -> Self {
        self.tone = tone;
        self
    }
    /// With a second line.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }
    /// With letters of one width.
    #[must_use]
    pub fn mono(mut self) -> Self {
        self.mono = true;
        self
    }
    /// Not to be broken into lines.
    #[must_use]
    pub const fn whole(mut self) -> Self {
        self.whole = true;
        self
    }
    /// With something else in the export: a whole instant for an age.
    #[must_use]
    pub fn export(mut self, export: impl Into<String>) -> Self {
        self.export = Some(export.into());
        self
    }
}

/// A row: a cell for each column.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// Its cells.
    pub cells: Vec<Cell>,
}

impl Row {
    /// All that it says, a cell a line.
    pub fn text(&self) -> String {
        let texts: Vec<&str> = self.cells.iter().map(|cell| cell.text.as_str()).collect();
        texts.join("\n")
    }
    /// As an export says it.
    pub fn to_line(&self) -> Vec<String> {
        let said = |cell: &Cell| cell.export.as_ref().unwrap_or(&cell.text).clone();
        self.cells.iter().map(said).collect()
    }
}
