//! A Rust source as the rules see it: text with comments and literals blanked out, and which lines are tests.

/// One Rust source: its path from the top of the tree, and its text with comments and literals blanked.
pub struct Source {
    pub path: String,
    pub code: Vec<String>,
    test_lines: Vec<bool>,
}

impl Source {
    pub fn new(path: &str, text: &str) -> Self {
        let code: Vec<String> = blank(text).lines().map(str::to_owned).collect();
        let name = path.rsplit('/').next().unwrap_or(path);
        let all_tests =
            name == "tests.rs" || path.contains("/tests/") || path.starts_with("tests/");
        let test_lines = if all_tests { vec![true; code.len()] } else { test_regions(&code) };
        Self { path: path.to_owned(), code, test_lines }
    }

    /// The top module that this file belongs to: `src/wire/i2np.rs` is of `wire`.
    pub fn floor(&self) -> Option<&str> {
        let rest = self.path.strip_prefix("src/")?;
        let module = rest.split('/').next()?;
        Some(module.strip_suffix(".rs").unwrap_or(module))
    }

    /// The room of `proto` that this file belongs to, and how many `super` lead from it to `proto`.
    pub fn proto_room(&self) -> Option<(&str, usize)> {
        let rest = self.path.strip_prefix("src/proto/")?;
        let module = rest.split('/').next()?;
        let depth = rest.matches('/').count() + 1;
        Some((module.strip_suffix(".rs").unwrap_or(module), depth))
    }

    pub fn lines_outside_tests(&self) -> impl Iterator<Item = (usize, &str)> {
        let numbered = self.code.iter().enumerate();
        numbered
            .filter(|(index, _)| !self.test_lines.get(*index).copied().unwrap_or(false))
            .map(|(index, line)| (index + 1, line.as_str()))
    }
}

/// Replaces the insides of comments, strings and character literals by spaces, line by line as before.
fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = literal_end(&chars, at);
        if end == at {
            out.push(chars[at]);
            at += 1;
            continue;
        }
        for &c in &chars[at..end.min(chars.len())] {
            out.push(if c == '\n' { '\n' } else { ' ' });
        }
        at = end;
    }
    out
}

/// Where the comment or literal that starts at `at` ends; `at` itself when none starts there.
fn literal_end(chars: &[char], at: usize) -> usize {
    let next = chars.get(at + 1).copied();
    let before = at.checked_sub(1).and_then(|i| chars.get(i)).copied();
    let in_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    match chars[at] {
        '/' if next == Some('/') => position(chars, at, '\n'),
        '/' if next == Some('*') => block_comment_end(chars, at),
        '"' => string_end(chars, at),
        'b' if next == Some('"') && !in_word => string_end(chars, at + 1),
        'r' if !in_word || before == Some('b') => raw_string_end(chars, at).unwrap_or(at),
        '\'' if next == Some('\\') => position(chars, at + 3, '\'') + 1,
        '\'' if chars.get(at + 2) == Some(&'\'') => at + 3,
        _ => at,
    }
}

fn position(chars: &[char], from: usize, wanted: char) -> usize {
    let rest = chars.get(from..).unwrap_or(&[]);
    rest.iter().position(|&c| c == wanted).map_or(chars.len(), |i| from + i)
}

fn string_end(chars: &[char], quote: usize) -> usize {
    let mut at = quote + 1;
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

fn raw_string_end(chars: &[char], at: usize) -> Option<usize> {
    let hashes = chars[at + 1..].iter().take_while(|&&c| c == '#').count();
    if chars.get(at + 1 + hashes) != Some(&'"') {
        return None;
    }
    let mut end = at + 2 + hashes;
    loop {
        end = position(chars, end, '"') + 1;
        if end > chars.len() {
            return Some(chars.len());
        }
        if chars[end..].iter().take(hashes).filter(|&&c| c == '#').count() == hashes {
            return Some(end + hashes);
        }
    }
}

fn block_comment_end(chars: &[char], at: usize) -> usize {
    let (mut depth, mut here) = (0_usize, at);
    while here < chars.len() {
        match (chars[here], chars.get(here + 1)) {
            ('/', Some('*')) => (depth, here) = (depth + 1, here + 2),
            ('*', Some('/')) => (depth, here) = (depth - 1, here + 2),
            _ => here += 1,
        }
        if depth == 0 {
            break;
        }
    }
    here
}

/// Marks the lines of items under `#[cfg(test)]`.
fn test_regions(code: &[String]) -> Vec<bool> {
    let mut marks = vec![false; code.len()];
    for (index, line) in code.iter().enumerate() {
        if line.contains("#[cfg(test)]") {
            let last = item_end(code, index);
            marks[index..=last].fill(true);
        }
    }
    marks
}

/// The last line of the item that starts at line `from`: its closing brace, or its semicolon.
pub fn item_end(code: &[String], from: usize) -> usize {
    let mut depth = 0_i32;
    for (index, line) in code.iter().enumerate().skip(from) {
        for c in line.chars() {
            match c {
                '{' | '(' | '[' => depth += 1,
                '}' | ')' | ']' => depth -= 1,
                _ => {}
            }
            if depth == 0 && (c == '}' || c == ';') {
                return index;
            }
        }
    }
    code.len().saturating_sub(1)
}
