//! Verifying a file: an export, or proofs of single entries. No server, no database, no secret.

use std::collections::BTreeMap;
use std::io::BufRead;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::anchor::Kept;
use super::checkpoint::Checkpoint;
use super::export::{Line, LineType};
use super::leaf;
use super::merkle::Hash;
use super::proof;
use super::verify::{Proofs, Report, Tree, VerifyError};
use crate::store::entry::Half;
use crate::store::heads::Head;

/// Verifies an export, or proofs. `trusted` is the log's key as known from elsewhere; without it the key in the file is
/// believed, which proves that the file is whole, not who made it.
///
/// # Errors
/// [`VerifyError`] names the first entry or line that does not hold.
pub fn export(input: impl BufRead, trusted: Option<&[u8; 32]>) -> Result<Report, VerifyError> {
    export_against(input, trusted, &[])
}

/// The same, held against heads that were kept elsewhere, if there are any.
///
/// # Errors
/// [`VerifyError`] names the first entry or line that does not hold.
pub fn export_against(input: impl BufRead, trusted: Option<&[u8; 32]>, kept: &[Head]) -> Result<Report, VerifyError> {
    let mut reading = Reading { kept: Kept::new(kept), ..Reading::default() };
    let mut head = None;
    for (number, line) in (1_u64..).zip(input.lines()) {
        let line = line?;
        let broken = |problem: String| VerifyError::Line { line: number, problem };
        if head.is_some() {
            return Err(broken("something follows the signed head".to_owned()));
        }
        let line: Line<'_> = serde_json::from_str(&line).map_err(|e| broken(e.to_string()))?;
        let line = Fields { line: &line, number };
        match line.line.r#type {
            LineType::Entry => reading.entry(&line)?,
            LineType::Dropped => reading.dropped(&line)?,
            LineType::Waiting => {
                reading.waiting += 1;
                reading.tree.account.waiting(line.line.rest.map(|raw| raw.get().as_bytes()).unwrap_or_default());
            }
            LineType::Consistency => reading.older(&line)?,
            LineType::Checkpoint => {
                let inside = line.hash(&line.line.public_key, "public_key")?;
                let note = line.line.note.as_deref().ok_or_else(|| broken("`note` is missing".to_owned()))?;
                let public = *trusted.unwrap_or(&inside);
                head = Some((Checkpoint::open(note, &public)?, public));
            }
        }
    }
    let (head, public) = head.ok_or(VerifyError::NoHead)?;
    reading.end(head, &public)
}

/// A line, and what its fields say.
struct Fields<'a> {
    line: &'a Line<'a>,
    number: u64,
}

impl Fields<'_> {
    fn broken(&self, problem: impl Into<String>) -> VerifyError {
        VerifyError::Line { line: self.number, problem: problem.into() }
    }

    fn bytes(&self, field: &Option<String>, name: &str) -> Result<Vec<u8>, VerifyError> {
        let text = field.as_deref().ok_or_else(|| self.broken(format!("`{name}` is missing")))?;
        STANDARD.decode(text).map_err(|e| self.broken(format!("`{name}`: {e}")))
    }

    fn hash(&self, field: &Option<String>, name: &str) -> Result<Hash, VerifyError> {
        self.bytes(field, name)?.try_into().map_err(|_| self.broken(format!("`{name}` is not 32 bytes")))
    }

    fn path(&self) -> Result<Vec<Hash>, VerifyError> {
        let wrong = || self.broken("`path` is not a list of hashes");
        let texts = self.line.path.as_deref().ok_or_else(|| self.broken("`path` is missing"))?;
        texts.iter().map(|text| STANDARD.decode(text).ok()?.try_into().ok()).collect::<Option<_>>().ok_or_else(wrong)
    }

    fn tree_size(&self) -> Result<u64, VerifyError> {
        self.line.tree_size.ok_or_else(|| self.broken("`tree_size` is missing"))
    }
}

/// What a proof is of.
#[derive(Clone, Copy)]
enum Proved {
    Entry(i64),
    Older(u64),
}

/// What was read so far.
#[derive(Default)]
struct Reading<'a> {
    kept: Kept<'a>,
    /// Of an export: every entry.
    tree: Tree,
    waiting: u64,
    /// Of proofs: the trees that they lead to, which is one, with the first that leads there; and what they prove.
    leads_to: BTreeMap<(u64, Hash), Proved>,
    proven: u64,
    proven_erased: u64,
    older: BTreeMap<u64, Hash>,
}

impl Reading<'_> {
    fn entry(&mut self, line: &Fields<'_>) -> Result<(), VerifyError> {
        let it = line.line;
        let seq = it.seq.ok_or_else(|| line.broken("`seq` is missing"))?;
        let claimed = line.bytes(&it.leaf, "leaf")?;
        let (personal_salt, rest_salt) =
            (line.bytes(&it.personal_salt, "personal_salt")?, line.bytes(&it.rest_salt, "rest_salt")?);
        let personal = Half { body: it.personal.map(|raw| raw.get().as_bytes()), salt: &personal_salt };
        let rest = Half { body: it.rest.map(|raw| raw.get().as_bytes()), salt: &rest_salt };
        if it.path.is_none() {
            self.tree.add(seq, &claimed, personal, rest)?;
            self.kept.at(&self.tree.frontier);
            return Ok(());
        }
        let leaf = leaf::hash(personal, rest).filter(|leaf| *claimed == *leaf).ok_or(VerifyError::Leaf(seq))?;
        let (size, path) = (line.tree_size()?, line.path()?);
        let index = u64::try_from(seq).map_err(|_| line.broken("`seq` is below 0"))?;
        let root = proof::root_of_inclusion(leaf, index, size, &path).ok_or(VerifyError::Proof(seq))?;
        self.proven += 1;
        self.proven_erased += u64::from(personal.body.is_none() || rest.body.is_none());
        self.leads_to.entry((size, root)).or_insert(Proved::Entry(seq));
        Ok(())
    }

    fn dropped(&mut self, line: &Fields<'_>) -> Result<(), VerifyError> {
        let seq = line.line.seq.ok_or_else(|| line.broken("`seq` is missing"))?;
        self.tree.add_dropped(seq, line.hash(&line.line.leaf, "leaf")?)?;
        self.kept.at(&self.tree.frontier);
        Ok(())
    }

    fn older(&mut self, line: &Fields<'_>) -> Result<(), VerifyError> {
        let from = line.line.size.ok_or_else(|| line.broken("`size` is missing"))?;
        let (first, size, path) = (line.hash(&line.line.root, "root")?, line.tree_size()?, line.path()?);
        let root = proof::root_of_consistency(first, from, size, &path).ok_or(VerifyError::Consistency(from))?;
        self.kept.begins_with(from, first);
        self.older.insert(from, first);
        self.leads_to.entry((size, root)).or_insert(Proved::Older(from));
        Ok(())
    }

    fn end(mut self, head: Checkpoint, public: &[u8; 32]) -> Result<Report, VerifyError> {
        let report = Report { waiting: self.waiting, head: Some(head.clone()), ..Report::default() };
        if self.leads_to.is_empty() {
            self.tree.check(&head)?;
            self.tree.accounted()?;
            let (entries, erased, dropped) = (self.tree.frontier.size(), self.tree.erased, self.tree.dropped);
            let anchored = self.kept.check(entries, public)?;
            return Ok(Report { entries, erased, dropped, anchored, ..report });
        }
        if self.tree.frontier.size() > 0 {
            return Err(VerifyError::Mixed);
        }
        for ((size, root), first) in self.leads_to {
            if size != head.size {
                return Err(VerifyError::Lead { size, signed: head.size });
            }
            if root != head.root {
                return Err(match first {
                    Proved::Entry(seq) => VerifyError::Proof(seq),
                    Proved::Older(size) => VerifyError::Consistency(size),
                });
            }
        }
        self.kept.begins_with(head.size, head.root);
        let anchored = self.kept.check_proofs(head.size, public)?;
        let proofs = Proofs { begins_with: self.older.into_keys().collect() };
        Ok(Report { entries: self.proven, erased: self.proven_erased, anchored, proofs: Some(proofs), ..report })
    }
}
