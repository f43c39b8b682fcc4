//! Packing of bytes inside values, so that texts take less room.
//!
//! A packed block begins with a byte that says how: 0, the bytes follow as they are; 1, their number follows as u32
//! big-endian and then they themselves as raw deflate (RFC 1951); 2, a Zstandard frame (RFC 8878) follows that says its
//! size and is to be read with [`COMMON`] as a raw dictionary. Blocks of different packings live side by side; new ones
//! are 0 or 2.
//!
//! An entry alone is short, and most of what it repeats stands in other entries: markup, the usual words, the parts of
//! addresses. The dictionary stands in for them.

use std::sync::LazyLock;

use flate2::{Decompress, FlushDecompress, Status};
use zstd::bulk::{Compressor, Decompressor};
use zstd::dict::{DecoderDictionary, EncoderDictionary};
use zstd::zstd_safe::{compress_bound, get_frame_content_size};

const AS_IT_IS: u8 = 0;
const DEFLATE: u8 = 1;
const ZSTD: u8 = 2;

/// What is common in feeds: words of some languages, markup, parts of addresses; the commonest last, as near matches
/// take fewer bits. It is a part of the file's format: changing one byte makes every block unreadable that was packed
/// with it, so another dictionary comes in another file and gets a packing of its own.
const COMMON: &[u8] = include_bytes!("common.txt");

/// Fewer bytes than this are stored as they are: packing would gain nothing.
const SMALLEST_PACKED_BYTES: usize = 48;

/// Nothing packed is longer; more in the file is damage. Documents and lists are far smaller.
const MAX_PLAIN_BYTES: usize = 256 << 20;

/// Zstandard makes at most a block of 128 KiB of four bytes; deflate 1,032 bytes of one.
const MOST_OF_ONE_BYTE_ZSTD: usize = 32 << 10;
const MOST_OF_ONE_BYTE_DEFLATE: usize = 1032;

/// Texts of 1.3 KB, made up as feeds of prose are, twenty to a block, take 416 bytes and 10 us each at this level, 466 and 8
/// us at -1, 412 and 12 us at 3, 392 and 33 us at 5, and a block is unpacked in 38 us. Blocks do not say at which level they
/// were packed.
const LEVEL: i32 = 1;

/// Both are made once in the life of the program, and shared by all threads.
static PACKING: LazyLock<EncoderDictionary<'static>> = LazyLock::new(|| EncoderDictionary::copy(COMMON, LEVEL));
static UNPACKING: LazyLock<DecoderDictionary<'static>> = LazyLock::new(|| DecoderDictionary::copy(COMMON));

/// Packs blocks, one after the other, with one set of tables.
pub(super) struct Packer(Option<Compressor<'static>>);

impl Packer {
    pub(super) fn new() -> Self {
        // It fails only without memory; what is not packed is stored as it is.
        Self(Compressor::with_prepared_dictionary(&PACKING).ok())
    }

    /// Appends `plain` to `value` as a block.
    pub(super) fn pack(&mut self, plain: &[u8], value: &mut Vec<u8>) {
        if (SMALLEST_PACKED_BYTES..=MAX_PLAIN_BYTES).contains(&plain.len())
            && let Some(zstd) = &mut self.0
        {
            let mut frame = Vec::with_capacity(compress_bound(plain.len()));
            if zstd.compress_to_buffer(plain, &mut frame).is_ok_and(|length| length < plain.len()) {
                value.reserve_exact(1 + frame.len());
                value.push(ZSTD);
                value.extend_from_slice(&frame);
                return;
            }
        }
        value.reserve_exact(1 + plain.len());
        value.push(AS_IT_IS);
        value.extend_from_slice(plain);
    }
}

/// Unpacks blocks, one after the other, with one set of tables.
pub(super) struct Unpacker {
    /// Made when it is first needed.
    zstd: Option<Decompressor<'static>>,
    /// Likewise, for blocks of older files.
    inflate: Option<Decompress>,
    plain: Vec<u8>,
}

impl Unpacker {
    pub(super) fn new() -> Self {
        Self { zstd: None, inflate: None, plain: Vec::new() }
    }

    /// What a block holds; the error says in plain words why it cannot be read.
    pub(super) fn unpack<'a>(&'a mut self, block: &'a [u8]) -> Result<&'a [u8], String> {
        let (&packing, rest) = block.split_first().ok_or("it is empty")?;
        match packing {
            AS_IT_IS => Ok(rest),
            DEFLATE => {
                let (length, packed) = rest.split_first_chunk().ok_or("it is cut off")?;
                let length = u32::from_be_bytes(*length) as usize;
                self.make_room(length, packed.len().saturating_mul(MOST_OF_ONE_BYTE_DEFLATE))?;
                let inflate = self.inflate.get_or_insert_with(|| Decompress::new(false));
                inflate.reset(false);
                match inflate.decompress_vec(packed, &mut self.plain, FlushDecompress::Finish) {
                    Ok(Status::StreamEnd) if self.plain.len() == length => Ok(&self.plain),
                    _ => Err("it does not unpack".to_owned()),
                }
            }
            ZSTD => {
                let length = get_frame_content_size(rest).ok().flatten().ok_or("it does not say its length")?;
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                self.make_room(length, rest.len().saturating_mul(MOST_OF_ONE_BYTE_ZSTD))?;
                if self.zstd.is_none() {
                    let made = Decompressor::with_prepared_dictionary(&UNPACKING);
                    self.zstd = Some(made.map_err(|error| format!("it cannot be unpacked: {error}"))?);
                }
                match self.zstd.as_mut().map(|zstd| zstd.decompress_to_buffer(rest, &mut self.plain)) {
                    Some(Ok(made)) if made == length => Ok(&self.plain),
                    _ => Err("it does not unpack".to_owned()),
                }
            }
            other => Err(format!("its packing {other} is unknown")),
        }
    }

    /// Room for what a block claims to hold. A larger claim than its bytes can make is damage, and no memory is spent
    /// on it.
    fn make_room(&mut self, claimed: usize, most: usize) -> Result<(), String> {
        if claimed > MAX_PLAIN_BYTES || claimed > most {
            return Err("its length is impossible".to_owned());
        }
        self.plain.clear();
        self.plain.reserve(claimed);
        Ok(())
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
        fn damage_is_an_error(mut block in prop::collection::vec(any::<u8>(), 0..300), packing in 0_u8..4) {
            if let Some(first) = block.first_mut() {
                *first = packing;
            }
            let _ = Unpacker::new().unpack(&block);
        }
    }

    #[test]
    fn a_claim_of_gigabytes_takes_no_memory() {
        let deflate = [DEFLATE, 0xFF, 0xFF, 0xFF, 0xFF, 3, 0];
        // The magic number, a frame of one segment whose size takes four bytes, that size, an empty last block.
        let zstd = [ZSTD, 0x28, 0xB5, 0x2F, 0xFD, 0xA0, 0xFF, 0xFF, 0xFF, 0xEF, 1, 0, 0];
        for claim in [&deflate[..], &zstd] {
            assert_eq!(Unpacker::new().unpack(claim), Err("its length is impossible".to_owned()));
        }
    }

    /// Blocks of version 0.1 and the dictionary itself, which must never change: stored blocks need them.
    #[test]
    fn what_was_packed_before_unpacks() {
        let plain = b"<p>The garden of the neighbours is open until Saturday.</p>".repeat(3);
        let mut deflated = vec![DEFLATE];
        deflated.extend((plain.len() as u32).to_be_bytes());
        let mut deflate = flate2::write::DeflateEncoder::new(deflated, flate2::Compression::new(1));
        std::io::Write::write_all(&mut deflate, &plain).expect("memory takes it");
        let deflated = deflate.finish().expect("memory takes it");
        assert_eq!(Unpacker::new().unpack(&deflated), Ok(plain.as_slice()));
        let mut dictionary = flate2::Crc::new();
        dictionary.update(COMMON);
        assert_eq!((dictionary.amount(), dictionary.sum()), (10011, 0x3A8E_14BD));
    }
}
