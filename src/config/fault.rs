//! What is wrong with a file, where, and what to write instead.

use std::fmt;
use std::path::{Path, PathBuf};

/// One fault. Never holds a value from the file, since what was pasted may be a secret.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Fault {
    /// The file it is in.
    pub file: PathBuf,
    /// Line, from 1; `None` where the whole file is at fault.
    pub line: Option<usize>,
    /// Dotted name of the setting, such as `upstream.account_sid`; empty for the file as a whole.
    pub at: String,
    /// What is wrong.
    pub what: String,
    /// What to write or do instead.
    pub mend: String,
}

impl Fault {
    /// The config file itself can't be read.
    pub(super) fn unreadable(file: &Path, what: &str) -> Self {
        Self {
            file: file.to_owned(),
            line: None,
            at: String::new(),
            what: format!("can't be read: {what}"),
            mend: "name the config file with --config FILE or SIDEKEY_CONFIG; the default is ./sidekey.toml".to_owned(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        f.write_str(": ")?;
        if !self.at.is_empty() {
            write!(f, "{}: ", self.at)?;
        }
        write!(f, "{}; {}", self.what, self.mend)
    }
}

/// Every fault of a config, in the order of its lines, and after them those of the files that it names. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// A single fault.
    pub(super) fn one(fault: Fault) -> Self {
        Self(vec![fault])
    }

    /// All of them, the config's own sorted by line; `None` if there are none.
    pub(super) fn gathered(mut faults: Vec<Fault>, of_files: Vec<Fault>) -> Option<Self> {
        faults.sort_by(|a, b| (a.line, &a.at).cmp(&(b.line, &b.at)));
        faults.extend(of_files);
        // A hundred brackets that nobody closed are one fault.
        faults.dedup();
        (!faults.is_empty()).then_some(Self(faults))
    }

    /// The faults, in the order of their lines.
    pub fn iter(&self) -> std::slice::Iter<'_, Fault> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a Faults {
    type Item = &'a Fault;
    type IntoIter = std::slice::Iter<'a, Fault>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// The known name nearest to `name`, if it is near enough to be a slip of the fingers.
pub(super) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&name.to_ascii_lowercase(), candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}
