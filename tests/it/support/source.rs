//! Rust source read as tokens: comments and strings can't fool a search, and code behind `#[cfg(test)]` is left out.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use std::path::{Path, PathBuf};

/// One token that is not a literal, with the line it stands on.
#[derive(Clone, Debug)]
pub struct Token {
    /// An identifier, or one character of punctuation or bracket; `"` stands for every literal.
    pub text: String,
    /// 1 for the first line.
    pub line: usize,
}

/// One file below `src/`.
#[derive(Debug)]
pub struct Source {
    /// From the package's root: `src/twilio/path.rs`.
    pub path: PathBuf,
    /// The file's text, tests included.
    pub text: String,
    /// The file's tokens, tests left out.
    pub tokens: Vec<Token>,
    /// Modules that `#[cfg(test)] mod name;` declares in other files.
    test_modules: Vec<String>,
}

impl Source {
    /// Reads `text` as the file `path`.
    pub fn parse(path: impl Into<PathBuf>, text: &str) -> Result<Self, String> {
        let path = path.into();
        let stream: TokenStream = text.parse().map_err(|fault| format!("{}: {fault}", path.display()))?;
        let mut reader = Reader::default();
        reader.stream(stream);
        Ok(Self { path, text: text.to_owned(), tokens: reader.tokens, test_modules: reader.test_modules })
    }

    /// The top-level module: `twilio` for `src/twilio/path.rs`, `lib` and `main` for the roots.
    pub fn module(&self) -> &str {
        let below = self.path.strip_prefix("src").unwrap_or(&self.path);
        let first = below.components().next().map_or(below, |part| Path::new(part.as_os_str()));
        first.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default()
    }

    /// The module that the file holds, from the crate's root: `audit`, `ship` and `wire` for `src/audit/ship/wire.rs`.
    pub fn home(&self) -> Vec<String> {
        let below = self.path.strip_prefix("src").unwrap_or(&self.path).with_extension("");
        let names = below.iter().map(|name| name.to_string_lossy().into_owned());
        names.filter(|name| !matches!(name.as_str(), "mod" | "lib" | "main")).collect()
    }

    /// Where in `tokens` the sequence begins; each word of `pattern` is one token.
    pub fn find(&self, pattern: &str) -> Vec<usize> {
        let pattern: Vec<&str> = pattern.split_whitespace().collect();
        let same = |window: &[Token]| window.iter().zip(&pattern).all(|(token, word)| token.text == *word);
        self.tokens.windows(pattern.len()).enumerate().filter(|(_, window)| same(window)).map(|(at, _)| at).collect()
    }

    /// `src/a.rs:7`, for the token at this index.
    pub fn place(&self, at: usize) -> String {
        format!("{}:{}", self.path.display(), self.tokens[at].line)
    }

    /// The folder in which this file's submodules live.
    fn submodules(&self) -> PathBuf {
        let folder = self.path.parent().unwrap_or(Path::new(""));
        match self.path.file_stem().and_then(|stem| stem.to_str()) {
            Some("mod" | "lib" | "main") | None => folder.to_owned(),
            Some(stem) => folder.join(stem),
        }
    }
}

/// Every file below `src/` that ships, in order of path; files that only tests include are left out.
pub fn shipped() -> Vec<Source> {
    let all: Vec<Source> = rust_files("src")
        .into_iter()
        .map(|(path, text)| Source::parse(path, &text).expect("source that compiles is made of tokens"))
        .collect();
    without_tests(all)
}

/// The files but for those that another one declares as `#[cfg(test)] mod name;`.
pub fn without_tests(all: Vec<Source>) -> Vec<Source> {
    let tests: Vec<PathBuf> =
        all.iter().flat_map(|file| file.test_modules.iter().map(|name| file.submodules().join(name))).collect();
    all.into_iter().filter(|file| !tests.iter().any(|test| file.path.with_extension("").starts_with(test))).collect()
}

/// Path (from the package's root) and text of every `.rs` file below a folder, in order of path.
pub fn rust_files(folder: &str) -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut folders = vec![root.join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of the repository") {
            let path = entry.expect("a readable entry").path();
            if path.is_dir() {
                // What the suite installs is not ours.
                folders.extend((!path.ends_with(".env")).then_some(path));
            } else if path.extension().is_some_and(|end| end == "rs") {
                let text = std::fs::read_to_string(&path).expect("source is UTF-8");
                found.push((path.strip_prefix(root).expect("below the root").to_owned(), text));
            }
        }
    }
    found.sort();
    found
}

/// Flattens a stream, leaving out what `#[cfg(test)]` marks.
#[derive(Default)]
struct Reader {
    tokens: Vec<Token>,
    test_modules: Vec<String>,
}

impl Reader {
    fn stream(&mut self, stream: TokenStream) {
        let trees: Vec<TokenTree> = stream.into_iter().collect();
        let mut at = 0;
        while at < trees.len() {
            if is_test_attribute(&trees[at..]) {
                let end = at + item_length(&trees[at..]);
                self.test_modules.extend(declared_module(&trees[at..end]));
                at = end;
            } else {
                self.tree(&trees[at]);
                at += 1;
            }
        }
    }

    fn tree(&mut self, tree: &TokenTree) {
        let line = tree.span().start().line;
        match tree {
            TokenTree::Ident(word) => self.push(word.to_string(), line),
            TokenTree::Punct(mark) => self.push(mark.as_char().to_string(), line),
            TokenTree::Literal(_) => self.push("\"".to_owned(), line),
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                self.push(open.to_owned(), line);
                self.stream(group.stream());
                self.push(close.to_owned(), group.span_close().start().line);
            }
        }
    }

    fn push(&mut self, text: String, line: usize) {
        self.tokens.push(Token { text, line });
    }
}

/// Whether the trees begin with `#[cfg(test)]` or `#[cfg(all(test, …))]`.
fn is_test_attribute(trees: &[TokenTree]) -> bool {
    let [TokenTree::Punct(hash), TokenTree::Group(attribute), ..] = trees else { return false };
    let text: String = attribute.stream().to_string().split_whitespace().collect();
    hash.as_char() == '#' && (text == "cfg(test)" || text.starts_with("cfg(all(test,"))
}

/// How many trees the item takes that these attributes mark.
fn item_length(trees: &[TokenTree]) -> usize {
    let mut at = 0;
    while matches!(&trees[at..], [TokenTree::Punct(hash), TokenTree::Group(_), ..] if hash.as_char() == '#') {
        at += 2;
    }
    let word = |tree: &TokenTree| matches!(tree, TokenTree::Ident(_)).then(|| tree.to_string());
    let keyword = trees[at..].iter().filter_map(word).find(|word| word != "pub").unwrap_or_default();
    let to_semicolon = matches!(keyword.as_str(), "use" | "static" | "let" | "type");
    let is_item = matches!(keyword.as_str(), "fn" | "const" | "async" | "mod" | "impl" | "struct" | "enum" | "trait");
    let ends = |tree: &TokenTree| match tree {
        TokenTree::Punct(mark) => mark.as_char() == ';' || (mark.as_char() == ',' && !is_item && !to_semicolon),
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace && !to_semicolon,
        _ => false,
    };
    trees[at..].iter().position(ends).map_or(trees.len(), |end| at + end + 1)
}

/// The name in `mod name;`, if that is what the item is.
fn declared_module(item: &[TokenTree]) -> Option<String> {
    match item {
        [.., TokenTree::Ident(keyword), TokenTree::Ident(name), TokenTree::Punct(_)] if keyword == "mod" => {
            Some(name.to_string())
        }
        _ => None,
    }
}
