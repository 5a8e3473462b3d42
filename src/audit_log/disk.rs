//! How full the disk of an embedded store is, and what that costs. A log that fills the disk takes everything on it down:
//! before that, what may be counted instead of written is, and then nothing is acknowledged that must be.

use std::path::Path;

/// Marks, in percent of the file system. Zero: not watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marks {
    /// Somebody is told.
    pub warn: u8,
    /// What would be queued is counted in a gap event.
    pub shed: u8,
    /// Nothing is written: what must be recorded first is 503.
    pub stop: u8,
}

/// How it stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pressure {
    /// There is room.
    #[default]
    None,
    /// Above the first mark.
    Warn,
    /// Above the second.
    Shed,
    /// Above the third.
    Stop,
}

impl Marks {
    /// How it stands at so many percent.
    pub fn at(&self, used: u8) -> Pressure {
        let above = |mark: u8| mark > 0 && used >= mark;
        if above(self.stop) {
            Pressure::Stop
        } else if above(self.shed) {
            Pressure::Shed
        } else if above(self.warn) {
            Pressure::Warn
        } else {
            Pressure::None
        }
    }
}

/// How many percent of the file system of `path` are used, as whoever is not root sees it; `None` where nobody tells.
#[cfg(target_os = "linux")]
pub fn used(path: &Path) -> Option<u8> {
    let found = rustix::fs::statvfs(path).ok()?;
    let used = found.f_blocks.saturating_sub(found.f_bfree);
    let all = used.saturating_add(found.f_bavail);
    u8::try_from(used.saturating_mul(100).checked_div(all)?).ok()
}

/// How many percent of the file system of `path` are used: nobody tells here.
#[cfg(not(target_os = "linux"))]
pub fn used(_path: &Path) -> Option<u8> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_mark_counts_and_zero_is_none() {
        let marks = Marks { warn: 80, shed: 90, stop: 97 };
        let at = [0, 79, 80, 89, 90, 96, 97, 100].map(|used| marks.at(used));
        use Pressure::{None, Shed, Stop, Warn};
        assert_eq!(at, [None, None, Warn, Warn, Shed, Shed, Stop, Stop]);
        assert_eq!(Marks { warn: 0, shed: 0, stop: 0 }.at(100), None);
        assert_eq!(Marks { stop: 0, ..marks }.at(100), Shed);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_system_is_used_in_part() {
        assert!(used(Path::new("/tmp")).is_some_and(|used| used <= 100));
        assert_eq!(used(Path::new("/there/is/no/such/place")), None);
    }
}
