//! Tagged fields: how envelopes, outcomes and submissions are written so that what a reader does not know is skipped.
//!
//! A field is a tag of one octet (1 to 255), a length (LEB128, at most [`FIELD_SIZE_MAX`]) and so many octets.

use std::fmt;

/// The longest field that is read: no envelope has a larger one, and a damaged length must not be believed.
pub(crate) const FIELD_SIZE_MAX: usize = 16 << 20;

/// The octets are not what the writer writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("malformed record")
    }
}

pub(crate) fn put(out: &mut Vec<u8>, tag: u8, value: &[u8]) {
    debug_assert!(tag != 0);
    out.push(tag);
    put_varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

/// A field unless it is empty, which is what a reader assumes of a field that is not there.
pub(crate) fn put_nonempty(out: &mut Vec<u8>, tag: u8, value: &[u8]) {
    if !value.is_empty() {
        put(out, tag, value);
    }
}

/// A number as little-endian octets without the leading zeros.
pub(crate) fn put_u64(out: &mut Vec<u8>, tag: u8, n: u64) {
    let used = (64 - n.leading_zeros()).div_ceil(8) as usize;
    put(out, tag, &n.to_le_bytes()[..used]);
}

pub(crate) fn put_i64(out: &mut Vec<u8>, tag: u8, n: i64) {
    put(out, tag, &n.to_le_bytes());
}

/// A field that consists of fields.
pub(crate) fn put_nested(out: &mut Vec<u8>, tag: u8, fill: impl FnOnce(&mut Vec<u8>)) {
    out.push(tag);
    let length_at = out.len();
    out.push(0);
    fill(out);
    let length = out.len() - length_at - 1;
    if length < 128 {
        out[length_at] = length as u8;
        return;
    }
    let mut varint = Vec::with_capacity(5);
    put_varint(&mut varint, length as u64);
    out.splice(length_at..=length_at, varint);
}

pub(crate) fn put_varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 128 {
        out.push(n as u8 | 128);
        n >>= 7;
    }
    out.push(n as u8);
}

/// Takes a number off the front of `input`.
pub(crate) fn take_varint(input: &mut &[u8]) -> Result<u64, Malformed> {
    let mut n = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = input.split_first().ok_or(Malformed)?;
        *input = rest;
        let bits = u64::from(byte & 127);
        if bits << shift >> shift != bits {
            return Err(Malformed);
        }
        n |= bits << shift;
        if byte < 128 {
            return Ok(n);
        }
    }
    Err(Malformed)
}

/// Takes `N` octets off the front of `input`.
pub(crate) fn take<const N: usize>(input: &mut &[u8]) -> Result<[u8; N], Malformed> {
    let (head, rest) = input.split_first_chunk().ok_or(Malformed)?;
    *input = rest;
    Ok(*head)
}

/// Goes through fields.
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u8, &'a [u8]), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Result<(u8, &'a [u8]), Malformed> {
        let [tag] = take(&mut self.0)?;
        let length = take_varint(&mut self.0)?;
        if tag == 0 || length > FIELD_SIZE_MAX as u64 || length > self.0.len() as u64 {
            return Err(Malformed);
        }
        let (value, rest) = self.0.split_at(length as usize);
        self.0 = rest;
        Ok((tag, value))
    }
}

pub(crate) fn get_u64(value: &[u8]) -> Result<u64, Malformed> {
    let mut octets = [0; 8];
    octets.get_mut(..value.len()).ok_or(Malformed)?.copy_from_slice(value);
    Ok(u64::from_le_bytes(octets))
}

pub(crate) fn get_u32(value: &[u8]) -> Result<u32, Malformed> {
    get_u64(value)?.try_into().map_err(|_| Malformed)
}

pub(crate) fn get_i64(value: &[u8]) -> Result<i64, Malformed> {
    value.try_into().map(i64::from_le_bytes).map_err(|_| Malformed)
}

pub(crate) fn get_string(value: &[u8]) -> Result<String, Malformed> {
    String::from_utf8(value.to_vec()).map_err(|_| Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn fields_come_back(fields: Vec<(u8, Vec<u8>)>, cut: usize) {
            let fields: Vec<(u8, Vec<u8>)> = fields.into_iter().filter(|(tag, _)| *tag != 0).collect();
            let mut out = Vec::new();
            fields.iter().for_each(|(tag, value)| put(&mut out, *tag, value));
            let back: Result<Vec<_>, _> = Fields(&out).map(|f| f.map(|(tag, v)| (tag, v.to_vec()))).collect();
            prop_assert_eq!(back.unwrap(), fields);
            // Any cut is either between two fields or an error; never a panic.
            let cut = cut % (out.len() + 1);
            let _ = Fields(&out[..cut]).collect::<Result<Vec<_>, _>>();
        }

        #[test]
        fn numbers_come_back(n: u64, i: i64) {
            let mut out = Vec::new();
            put_u64(&mut out, 1, n);
            put_i64(&mut out, 2, i);
            let fields: Vec<_> = Fields(&out).map(Result::unwrap).collect();
            prop_assert_eq!(get_u64(fields[0].1), Ok(n));
            prop_assert_eq!(get_i64(fields[1].1), Ok(i));
            let mut varint = Vec::new();
            put_varint(&mut varint, n);
            let mut input = &varint[..];
            prop_assert_eq!(take_varint(&mut input), Ok(n));
            prop_assert!(input.is_empty());
        }

        #[test]
        fn nested_fields_come_back(inner: Vec<u8>) {
            let mut out = Vec::new();
            put_nested(&mut out, 7, |out| put(out, 9, &inner));
            let (tag, value) = Fields(&out).next().unwrap().unwrap();
            let (inner_tag, inner_value) = Fields(value).next().unwrap().unwrap();
            prop_assert_eq!((tag, inner_tag, inner_value), (7, 9, &inner[..]));
        }
    }

    #[test]
    fn what_is_malformed() {
        for octets in [
            &[0, 0][..],
            &[1],
            &[1, 1],
            &[1, 128],
            &[1, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255],
            &[1, 255, 255, 255, 255, 15],
        ] {
            assert_eq!(Fields(octets).next(), Some(Err(Malformed)), "{octets:?}");
        }
        assert_eq!(get_u64(&[0; 9]), Err(Malformed));
        assert_eq!(get_u32(&[0, 0, 0, 0, 1]), Err(Malformed));
        assert_eq!(get_i64(&[0; 7]), Err(Malformed));
        assert_eq!(get_string(&[255]), Err(Malformed));
    }
}
