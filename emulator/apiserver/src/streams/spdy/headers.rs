//! The headers of streams: all of one direction are one zlib text, with a dictionary.

use std::io;
use std::sync::LazyLock;

use bytes::{Buf, BufMut};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};

use super::{Broken, Headers};

/// The headers of one stream are not larger.
const LIMIT: usize = 64 * 1024;
const MOST: u32 = 64;

/// The dictionary of SPDY/3: these words, each after its length, and then the tail.
static DICTIONARY: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut dictionary = Vec::new();
    for word in WORDS.split_whitespace() {
        // Two values have a space in them.
        put(&mut dictionary, &word.replace('_', " "));
    }
    dictionary.extend_from_slice(TAIL.as_bytes());
    dictionary
});

const WORDS: &str = "options head post put delete trace accept accept-charset accept-encoding \
    accept-language accept-ranges age allow authorization cache-control connection content-base \
    content-encoding content-language content-length content-location content-md5 content-range \
    content-type date etag expect expires from host if-match if-modified-since if-none-match \
    if-range if-unmodified-since last-modified location max-forwards pragma proxy-authenticate \
    proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade \
    user-agent vary via warning www-authenticate method get status 200_OK version HTTP/1.1 url \
    public set-cookie keep-alive origin";

const TAIL: &str = "10010120120220520630030230330430530630740240540640740840941041141241341441541\
    6417502504505203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad \
    Request401 Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not \
    Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 \
    Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,\
    application/xml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,\
    deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.";

fn put(block: &mut Vec<u8>, text: &str) {
    block.put_u32(text.len() as u32);
    block.extend_from_slice(text.as_bytes());
}

/// Reads the headers of a client.
pub(super) struct Inflater {
    zlib: Decompress,
}

impl Default for Inflater {
    fn default() -> Inflater {
        Inflater { zlib: Decompress::new(true) }
    }
}

impl Inflater {
    pub(super) fn inflate(&mut self, input: &[u8]) -> Result<Headers, Broken> {
        let mut block = Vec::with_capacity(LIMIT);
        let begin = self.zlib.total_in();
        loop {
            let before = (self.zlib.total_in(), block.len());
            let rest = usize::try_from(before.0 - begin).ok().and_then(|at| input.get(at..));
            let rest = rest.ok_or(Broken::Headers)?;
            let result = self.zlib.decompress_vec(rest, &mut block, FlushDecompress::Sync);
            match result {
                Ok(_) => {}
                Err(error) if error.needs_dictionary().is_some() => {
                    self.zlib.set_dictionary(&DICTIONARY).map_err(|_| Broken::Headers)?;
                    continue;
                }
                Err(_) => return Err(Broken::Headers),
            }
            if block.len() == block.capacity() {
                return Err(Broken::TooLong(LIMIT));
            }
            if (self.zlib.total_in(), block.len()) == before {
                break;
            }
        }
        if self.zlib.total_in() - begin != input.len() as u64 {
            return Err(Broken::Headers);
        }
        parse(&block).ok_or(Broken::Headers)
    }
}

fn parse(mut block: &[u8]) -> Option<Headers> {
    let count = block.try_get_u32().ok().filter(|count| *count <= MOST)?;
    let mut text = || {
        let length = block.try_get_u32().ok()? as usize;
        let (text, rest) = block.split_at_checked(length)?;
        block = rest;
        String::from_utf8(text.to_vec()).ok()
    };
    let headers: Option<Headers> =
        (0..count).map(|_| Some((text()?.to_ascii_lowercase(), text()?))).collect();
    headers.filter(|_| block.is_empty())
}

/// Writes headers for a client.
pub(super) struct Deflater {
    zlib: Compress,
    begun: bool,
}

impl Deflater {
    pub(super) fn new() -> Deflater {
        Deflater { zlib: Compress::new(Compression::fast(), true), begun: false }
    }

    pub(super) fn deflate(&mut self, headers: &[(&str, &str)]) -> io::Result<Vec<u8>> {
        if !self.begun {
            self.zlib.set_dictionary(&DICTIONARY).map_err(io::Error::other)?;
            self.begun = true;
        }
        let mut block = Vec::new();
        block.put_u32(headers.len() as u32);
        for (name, value) in headers {
            put(&mut block, name);
            put(&mut block, value);
        }
        let begin = self.zlib.total_in();
        let mut output = Vec::with_capacity(block.len() + 64);
        loop {
            let at = (self.zlib.total_in() - begin) as usize;
            self.zlib
                .compress_vec(&block[at..], &mut output, FlushCompress::Sync)
                .map_err(io::Error::other)?;
            if output.len() < output.capacity() {
                return Ok(output);
            }
            output.reserve(block.len() + 64);
        }
    }
}

#[test]
fn the_dictionary_is_the_one_of_the_protocol() {
    let mut zlib = Compress::new(Compression::fast(), true);
    assert_eq!(DICTIONARY.len(), 1423);
    assert_eq!(zlib.set_dictionary(&DICTIONARY).unwrap(), 0xe3c6_a7c2);
}
