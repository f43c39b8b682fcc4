//! Packing of bytes inside values, so that texts take less room.
//!
//! A packed block begins with a byte that says how: 0, the bytes follow as they are; 1, their number follows as u32
//! big-endian and then they themselves as raw deflate (RFC 1951). Blocks of different packings live side by side.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

const AS_IT_IS: u8 = 0;
const DEFLATE: u8 = 1;

/// Fewer bytes than this are stored as they are: packing would gain nothing.
const SMALLEST_PACKED_BYTES: usize = 96;

/// Nothing packed is longer; more in the file is damage. Documents and lists are far smaller.
const MAX_PLAIN_BYTES: usize = 256 << 20;

/// Fast, and on texts of one or two kilobytes hardly larger than what the slow levels make.
const LEVEL: Compression = Compression::new(1);

/// Packs blocks, one after the other, with one set of tables.
pub(super) struct Packer(Compress);

impl Packer {
    pub(super) fn new() -> Self {
        Self(Compress::new(LEVEL, false))
    }

    /// Appends `plain` to `value` as a block.
    pub(super) fn pack(&mut self, plain: &[u8], value: &mut Vec<u8>) {
        let start = value.len();
        value.reserve_exact(plain.len() + 5);
        if plain.len() >= SMALLEST_PACKED_BYTES
            && plain.len() <= MAX_PLAIN_BYTES
            && let Ok(length) = u32::try_from(plain.len())
        {
            value.push(DEFLATE);
            value.extend_from_slice(&length.to_be_bytes());
            self.0.reset();
            // The room is that of the plain bytes: where packing does not end within it, it gains nothing.
            if matches!(self.0.compress_vec(plain, value, FlushCompress::Finish), Ok(Status::StreamEnd)) {
                return;
            }
            value.truncate(start);
        }
        value.push(AS_IT_IS);
        value.extend_from_slice(plain);
    }
}

/// Unpacks blocks, one after the other, with one set of tables.
pub(super) struct Unpacker {
    inflate: Decompress,
    plain: Vec<u8>,
}

impl Unpacker {
    pub(super) fn new() -> Self {
        Self { inflate: Decompress::new(false), plain: Vec::new() }
    }

    /// What a block holds; the error says in plain words why it cannot be read.
    pub(super) fn unpack<'a>(&'a mut self, block: &'a [u8]) -> Result<&'a [u8], String> {
        let (&packing, rest) = block.split_first().ok_or("it is empty")?;
        match packing {
            AS_IT_IS => Ok(rest),
            DEFLATE => {
                let (length, packed) = rest.split_first_chunk().ok_or("it is cut off")?;
                let length = u32::from_be_bytes(*length) as usize;
                // Deflate makes at most 1,032 bytes of one: a larger claim is damage, and no memory is spent on it.
                if length > MAX_PLAIN_BYTES || length > packed.len().saturating_mul(1032) {
                    return Err("its length is impossible".to_owned());
                }
                self.plain.clear();
                self.plain.reserve(length);
                self.inflate.reset(false);
                match self.inflate.decompress_vec(packed, &mut self.plain, FlushDecompress::Finish) {
                    Ok(Status::StreamEnd) if self.plain.len() == length => Ok(&self.plain),
                    _ => Err("it does not unpack".to_owned()),
                }
            }
            other => Err(format!("its packing {other} is unknown")),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn blocks_come_back_one_after_the_other(plains in prop::collection::vec(
            prop_oneof!["(<p>[a-f ]{0,9}</p>){0,200}".prop_map(String::into_bytes), prop::collection::vec(any::<u8>(), 0..600)],
            1..6,
        )) {
            let (mut packer, mut unpacker) = (Packer::new(), Unpacker::new());
            for plain in plains {
                let mut value = b"head".to_vec();
                packer.pack(&plain, &mut value);
                prop_assert!(value.len() <= plain.len() + 5);
                prop_assert_eq!(unpacker.unpack(&value[4..]), Ok(plain.as_slice()));
            }
        }

        #[test]
        fn damage_is_an_error(mut block in prop::collection::vec(any::<u8>(), 0..300), packing in 0_u8..3) {
            if let Some(first) = block.first_mut() {
                *first = packing;
            }
            let _ = Unpacker::new().unpack(&block);
        }
    }

    #[test]
    fn a_claim_of_gigabytes_takes_no_memory() {
        let claim = [DEFLATE, 0xFF, 0xFF, 0xFF, 0xFF, 3, 0];
        assert_eq!(Unpacker::new().unpack(&claim), Err("its length is impossible".to_owned()));
    }
}
