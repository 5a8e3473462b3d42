//! QR codes (ISO/IEC 18004), as far as an authenticator app needs them: bytes, error correction M, versions 1 to 15.

use std::fmt::Write as _;

/// Bytes of error correction in each block of versions 1, 2, …
const CORRECTION: [usize; 15] = [10, 16, 26, 18, 24, 16, 18, 22, 22, 26, 30, 22, 22, 24, 24];
/// Blocks of these versions.
const BLOCKS: [usize; 15] = [1, 1, 1, 2, 2, 4, 4, 4, 5, 5, 5, 8, 9, 9, 10];

/// A code as a drawing.
#[derive(Debug)]
pub(super) struct Drawing {
    /// Modules on each side, without the quiet zone, which is four wide.
    pub(super) size: usize,
    /// The dark modules, as the `d` of an SVG path in units of a module.
    pub(super) path: String,
}

/// The code of `text`; `None` of more than 412 bytes.
pub(super) fn draw(text: &str) -> Option<Drawing> {
    let kinds = (1..).zip(CORRECTION.into_iter().zip(BLOCKS));
    let mut kinds = kinds.map(|(version, (correction, blocks))| Kind { version, correction, blocks });
    let kind = kinds.find(|kind| kind.room() >= text.len())?;
    let words = kind.interleaved(&kind.data(text.as_bytes()));
    let plain = Grid::new(&kind);
    let filled = (0..8).map(|mask| plain.filled(&words, mask));
    let best = filled.min_by_key(Grid::clumps)?;
    Some(Drawing { size: best.size, path: best.path() })
}

/// A version and how its bytes are divided.
struct Kind {
    version: usize,
    correction: usize,
    blocks: usize,
}

impl Kind {
    /// Bytes of data and correction together.
    fn total(&self) -> usize {
        let version = self.version;
        let mut modules = (16 * version + 128) * version + 64;
        if version >= 2 {
            let aligned = version / 7 + 2;
            modules -= (25 * aligned - 10) * aligned - 55;
        }
        if version >= 7 {
            modules -= 36;
        }
        modules / 8
    }

    fn capacity(&self) -> usize {
        self.total() - self.correction * self.blocks
    }

    fn length_bits(&self) -> usize {
        if self.version < 10 { 8 } else { 16 }
    }

    /// Bytes of text that it holds.
    fn room(&self) -> usize {
        self.capacity() - (4 + self.length_bits()).div_ceil(8)
    }

    /// Mode, length, text, and padding.
    fn data(&self, text: &[u8]) -> Vec<u8> {
        let mut bits = Vec::new();
        let mut push = |value: usize, count: usize| bits.extend((0..count).rev().map(|at| (value >> at) & 1 == 1));
        push(0b0100, 4);
        push(text.len(), self.length_bits());
        for byte in text {
            push(usize::from(*byte), 8);
        }
        // The end; there is always room for it, because length and mode end in the middle of a byte.
        push(0, 4);
        let byte = |bits: &[bool]| bits.iter().fold(0, |byte, bit| (byte << 1) | u8::from(*bit));
        let bytes = bits.chunks(8).map(byte);
        bytes.chain([0xec, 0x11].into_iter().cycle()).take(self.capacity()).collect()
    }

    /// The bytes in the order in which they are drawn: of each block in turn, and then their correction.
    fn interleaved(&self, data: &[u8]) -> Vec<u8> {
        let short = data.len() / self.blocks;
        let longer = data.len() % self.blocks;
        let (first, rest) = data.split_at(short * (self.blocks - longer));
        let blocks: Vec<&[u8]> = first.chunks(short).chain(rest.chunks(short + 1)).collect();
        let divisor = divisor(self.correction);
        let corrections: Vec<Vec<u8>> = blocks.iter().map(|block| remainder(block, &divisor)).collect();
        let of_data = (0..=short).flat_map(|at| blocks.iter().filter_map(move |block| block.get(at)));
        let of_correction = (0..self.correction).flat_map(|at| corrections.iter().filter_map(move |one| one.get(at)));
        of_data.chain(of_correction).copied().collect()
    }

    /// Where the centres of alignment patterns lie, on both axes.
    fn aligned(&self) -> Vec<usize> {
        if self.version == 1 {
            return Vec::new();
        }
        let count = self.version / 7 + 2;
        let step = (self.version * 8 + count * 3 + 5) / (count * 4 - 4) * 2;
        let last = self.version * 4 + 10;
        std::iter::once(6).chain((0..count - 1).rev().map(|at| last - at * step)).collect()
    }
}

/// In the field of 256 elements that the code reckons in.
fn multiply(x: u8, y: u8) -> u8 {
    (0..8).rev().fold(0u8, |product, bit| {
        let carry = if product & 0x80 == 0 { 0 } else { 0x1d };
        (product << 1) ^ carry ^ if (y >> bit) & 1 == 1 { x } else { 0 }
    })
}

/// The generator polynomial of a degree, highest coefficient first.
fn divisor(degree: usize) -> Vec<u8> {
    let mut polynomial = vec![1];
    let mut root = 1;
    for _ in 0..degree {
        let mut next = polynomial.clone();
        next.push(0);
        for (coefficient, before) in next.iter_mut().skip(1).zip(&polynomial) {
            *coefficient ^= multiply(*before, root);
        }
        polynomial = next;
        root = multiply(root, 2);
    }
    polynomial
}

fn remainder(data: &[u8], divisor: &[u8]) -> Vec<u8> {
    let mut left = vec![0; divisor.len() - 1];
    for byte in data {
        let factor = byte ^ left.remove(0);
        left.push(0);
        for (rest, coefficient) in left.iter_mut().zip(divisor.iter().skip(1)) {
            *rest ^= multiply(*coefficient, factor);
        }
    }
    left
}

/// One module.
#[derive(Clone, Copy, Default)]
struct Module {
    dark: bool,
    /// Part of a pattern, so not of the data.
    fixed: bool,
}

/// A square of modules.
#[derive(Clone)]
struct Grid {
    size: usize,
    modules: Vec<Module>,
}

impl Grid {
    /// With every pattern, and no data.
    fn new(kind: &Kind) -> Self {
        let size = kind.version * 4 + 17;
        let mut grid = Self { size, modules: vec![Module::default(); size * size] };
        for at in 0..size {
            grid.fix(6, at, at % 2 == 0);
            grid.fix(at, 6, at % 2 == 0);
        }
        let aligned = kind.aligned();
        let ends = |x: usize, y: usize| {
            let (first, last) = (6, size - 7);
            (x, y) == (first, first) || (x, y) == (first, last) || (x, y) == (last, first)
        };
        for x in &aligned {
            for y in aligned.iter().filter(|y| !ends(*x, **y)) {
                grid.rings(*x, *y, 2, |ring| ring != 1);
            }
        }
        for (x, y) in [(3, 3), (size - 4, 3), (3, size - 4)] {
            grid.rings(x, y, 4, |ring| ring != 2 && ring != 4);
        }
        grid.name(0);
        if kind.version >= 7 {
            let check = (0..12).fold(kind.version, |rest, _| (rest << 1) ^ ((rest >> 11) * 0x1f25));
            let bits = (kind.version << 12) | check;
            for at in 0..18 {
                let (long, short) = (size - 11 + at % 3, at / 3);
                grid.fix(long, short, (bits >> at) & 1 == 1);
                grid.fix(short, long, (bits >> at) & 1 == 1);
            }
        }
        grid
    }

    fn fix(&mut self, x: usize, y: usize, dark: bool) {
        if let Some(module) = self.modules.get_mut(y * self.size + x) {
            *module = Module { dark, fixed: true };
        }
    }

    /// Squares around a centre, as far as they lie inside.
    fn rings(&mut self, x: usize, y: usize, radius: usize, is_dark: impl Fn(usize) -> bool) {
        let within = |centre: usize| centre.saturating_sub(radius)..=(centre + radius).min(self.size - 1);
        let (across, down) = (within(x), within(y));
        for at_y in down {
            for at_x in across.clone() {
                self.fix(at_x, at_y, is_dark(at_x.abs_diff(x).max(at_y.abs_diff(y))));
            }
        }
    }

    /// Draws, twice, which mask there is, and that error correction is M.
    fn name(&mut self, mask: usize) {
        let check = (0..10).fold(mask, |rest, _| (rest << 1) ^ ((rest >> 9) * 0x537));
        let bits = ((mask << 10) | check) ^ 0x5412;
        let size = self.size;
        for at in 0..15 {
            let dark = (bits >> at) & 1 == 1;
            let (x, y) = match at {
                0..=5 => (8, at),
                6 | 7 => (8, at + 1),
                8 => (7, 8),
                _ => (14 - at, 8),
            };
            self.fix(x, y, dark);
            let (x, y) = if at < 8 { (size - 1 - at, 8) } else { (8, size - 15 + at) };
            self.fix(x, y, dark);
        }
        self.fix(8, size - 8, true);
    }

    /// With the data under a mask, in columns of two from the right, up and down in turn.
    fn filled(&self, words: &[u8], mask: usize) -> Self {
        let mut grid = self.clone();
        grid.name(mask);
        let mut bits = words.iter().flat_map(|word| (0..8).rev().map(move |at| (word >> at) & 1 == 1));
        let columns = (8..self.size).rev().step_by(2).chain([5, 3, 1]);
        for right in columns {
            let upward = (right + 1) & 2 == 0;
            for row in 0..self.size {
                let y = if upward { self.size - 1 - row } else { row };
                for x in [right, right - 1] {
                    let Some(module) = grid.modules.get_mut(y * self.size + x).filter(|module| !module.fixed) else {
                        continue;
                    };
                    module.dark = bits.next().unwrap_or(false) ^ is_masked(mask, x, y);
                }
            }
        }
        grid
    }

    fn rows(&self) -> impl Iterator<Item = &[Module]> {
        self.modules.chunks(self.size)
    }

    /// Squares of two by two in one colour: the fewer, the better a camera sees the others.
    fn clumps(&self) -> usize {
        let pairs = self.rows().zip(self.rows().skip(1));
        let of = |(above, below): (&[Module], &[Module])| {
            let squares = above.windows(2).zip(below.windows(2));
            squares.filter(|(a, b)| a.iter().chain(*b).all(|m| Some(m.dark) == a.first().map(|m| m.dark))).count()
        };
        pairs.map(of).sum()
    }

    fn path(&self) -> String {
        let mut path = String::new();
        for (y, row) in self.rows().enumerate() {
            let mut x = 0;
            for run in row.chunk_by(|a, b| a.dark == b.dark) {
                if run.first().is_some_and(|module| module.dark) {
                    // Writing to a string cannot fail.
                    let _ = write!(path, "M{x} {y}h{0}v1h-{0}z", run.len());
                }
                x += run.len();
            }
        }
        path
    }
}

fn is_masked(mask: usize, x: usize, y: usize) -> bool {
    0 == match mask {
        0 => (x + y) % 2,
        1 => y % 2,
        2 => x % 3,
        3 => (x + y) % 3,
        4 => (x / 3 + y / 2) % 2,
        5 => x * y % 2 + x * y % 3,
        6 => (x * y % 2 + x * y % 3) % 2,
        _ => ((x + y) % 2 + x * y % 3) % 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_longer_text_makes_a_larger_code_until_there_is_none() {
        let size = |bytes: usize| draw(&"x".repeat(bytes)).map(|code| code.size);
        // ISO/IEC 18004, table 7: bytes at M.
        let most = [14, 26, 42, 62, 84, 106, 122, 152, 180, 213, 251, 287, 331, 362, 412];
        for (version, bytes) in (1..).zip(most) {
            assert_eq!(size(bytes), Some(version * 4 + 17), "{bytes} bytes");
            assert_eq!(size(bytes + 1), (version < 15).then_some(version * 4 + 21), "{} bytes", bytes + 1);
        }
    }

    #[test]
    fn correction_is_what_the_standard_computes() {
        // The numeric example of ISO/IEC 18004, annex I.
        let data = [0x10, 0x20, 0x0c, 0x56, 0x61, 0x80, 0xec, 0x11, 0xec, 0x11, 0xec, 0x11, 0xec, 0x11, 0xec, 0x11];
        let expected = [0xa5, 0x24, 0xd4, 0xc1, 0xed, 0x36, 0xc7, 0x87, 0x2c, 0x55];
        assert_eq!(remainder(&data, &divisor(10)), expected);
    }
}
