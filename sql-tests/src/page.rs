//! The user's reference as a test: every ```sql block of a page runs, in order.
//!
//! After the language a block may say on which system it runs (`shop` and `warehouse` are the two
//! PostgreSQL databases that all pages speak of; without a word it is the gateway), that it must fail
//! (`error=42704`), or that it is not run (`skip-run`, after a comment `<!-- skip-run: reason -->`).

/// Where a block runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The gateway.
    Gateway,
    /// The PostgreSQL database of this name.
    Database(String),
    /// Nowhere.
    Nowhere,
}

/// One block of SQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// 1-based line of its first statement.
    pub line: usize,
    /// Where it runs.
    pub target: Target,
    /// The SQLSTATE that its last statement must fail with.
    pub error: Option<String>,
    /// Its text.
    pub sql: String,
}

/// The blocks of a page. Panics where a block is marked wrongly.
pub fn blocks(page: &str, text: &str) -> Vec<Block> {
    let mut blocks = vec![];
    let mut lines = text.lines().enumerate();
    let mut reason_line = None;
    while let Some((number, line)) = lines.next() {
        if line.trim_start().starts_with("<!-- skip-run: ") {
            reason_line = Some(number);
        }
        let Some(words) = line.trim_start().strip_prefix("```sql") else {
            if let Some(other) = line.trim_start().strip_prefix("```") {
                assert!(!other.starts_with("SQL"), "{page}:{}: write ```sql", number + 1);
                // The end of a block of another language is found the same way.
                for (_, inner) in lines.by_ref() {
                    if inner.trim_start().starts_with("```") {
                        break;
                    }
                }
            }
            continue;
        };
        let (mut target, mut error) = (Target::Gateway, None);
        for word in words.split_whitespace() {
            match word {
                "skip-run" => {
                    let near = reason_line.is_some_and(|at| number - at <= 2);
                    assert!(near, "{page}:{}: skip-run needs <!-- skip-run: reason --> before it", number + 1);
                    target = Target::Nowhere;
                }
                "shop" | "warehouse" => target = Target::Database(word.to_owned()),
                _ => match word.strip_prefix("error=") {
                    Some(code) => error = Some(code.to_owned()),
                    None => panic!("{page}:{}: unknown word {word}", number + 1),
                },
            }
        }
        let mut sql = String::new();
        let mut is_closed = false;
        for (_, inner) in lines.by_ref() {
            if inner.trim_start().starts_with("```") {
                is_closed = true;
                break;
            }
            sql.push_str(inner);
            sql.push('\n');
        }
        assert!(is_closed, "{page}:{}: the block has no end", number + 1);
        blocks.push(Block { line: number + 2, target, error, sql });
    }
    blocks
}

/// Cuts a script into statements at semicolons outside of quotes, dollar quotes and comments.
pub fn statements(script: &str) -> Vec<String> {
    let mut statements = vec![];
    let mut current = String::new();
    let mut rest = script;
    let take = |rest: &mut &str, current: &mut String, length: usize| {
        let (head, tail) = rest.split_at(length);
        current.push_str(head);
        *rest = tail;
    };
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("--") {
            rest.find('\n').unwrap_or(rest.len())
        } else if let Some(quote) = [('\''), ('"')].into_iter().find(|q| *q == first) {
            rest[1..].find(quote).map_or(rest.len(), |end| end + 2)
        } else if let Some(quoted) = rest.strip_prefix("$$") {
            quoted.find("$$").map_or(rest.len(), |end| end + 4)
        } else if first == ';' {
            rest = &rest[1..];
            statements.push(std::mem::take(&mut current));
            continue;
        } else {
            first.len_utf8()
        };
        take(&mut rest, &mut current, length);
    }
    statements.push(current);
    let is_only_comment = |s: &String| s.lines().all(|l| l.trim().is_empty() || l.trim_start().starts_with("--"));
    statements.into_iter().filter(|s| !is_only_comment(s)).map(|s| s.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_cut_into_blocks_and_blocks_into_statements() {
        let page =
            "text\n```sql\nSELECT 1; -- a;b\nSELECT ';';\n```\n```bash\nls\n```\n```sql shop error=42P01\nx\n```\n";
        let blocks = blocks("p", page);
        assert_eq!(blocks.len(), 2);
        assert_eq!(statements(&blocks[0].sql), ["SELECT 1", "-- a;b\nSELECT ';'"]);
        assert_eq!(blocks[1].target, Target::Database("shop".into()));
        assert_eq!(blocks[1].error.as_deref(), Some("42P01"));
    }
}
