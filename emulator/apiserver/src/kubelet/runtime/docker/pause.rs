//! The image of the container that owns a pod's namespaces: one program, which waits for ever.
//!
//! The program is so small that it is written here byte by byte, which spares a pull.

use std::io;

use bollard::errors::Error;
use bollard::query_parameters::CreateImageOptionsBuilder;
use bytes::Bytes;
use futures::TryStreamExt;

use super::Docker;

pub(super) const PATH: &str = "/pause";
const IMAGE: &str = "localhost/apiserver-pause:1";

impl Docker {
    /// The reference of the image, which is made if the engine does not have it.
    pub(super) async fn pause_image(&self) -> Result<String, Error> {
        match self.engine.inspect_image(IMAGE).await {
            Ok(_) => return Ok(IMAGE.to_owned()),
            Err(Error::DockerResponseServerError { status_code: 404, .. }) => {}
            Err(error) => return Err(error),
        }
        let architecture = self.engine.version().await?.arch.unwrap_or_default();
        let program = program(&architecture).ok_or_else(|| Error::DockerStreamError {
            error: format!("no program is known for the engine's architecture {architecture:?}"),
        })?;
        let archive = archive(&program).map_err(|err| Error::IOError { err })?;
        let options = CreateImageOptionsBuilder::default().from_src("-").repo(IMAGE).build();
        let body = bollard::body_full(Bytes::from(archive));
        let import = self.engine.create_image(Some(options), Some(body), None);
        import.try_collect::<Vec<_>>().await?;
        Ok(IMAGE.to_owned())
    }
}

/// An ELF file whose code calls `pause` (on 64-bit ARM `ppoll` without anything to poll) again and
/// again.
fn program(architecture: &str) -> Option<Vec<u8>> {
    const BASE: u64 = 0x40_0000;
    const HEADERS: u64 = 64 + 56;
    let (machine, code): (u16, Vec<u8>) = match architecture {
        // mov eax, 34; syscall; jmp to the beginning
        "amd64" => (62, vec![0xb8, 0x22, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xf7]),
        "arm64" => {
            let words: [u32; 8] = [
                0xd280_0000, // mov x0, 0
                0xd280_0001, // mov x1, 0
                0xd280_0002, // mov x2, 0
                0xd280_0003, // mov x3, 0
                0xd280_0004, // mov x4, 0
                0xd280_0928, // mov x8, 73
                0xd400_0001, // svc 0
                0x17ff_fff9, // b to the beginning
            ];
            (183, words.iter().flat_map(|word| word.to_le_bytes()).collect())
        }
        _ => return None,
    };
    let length = HEADERS + code.len() as u64;
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    for half in [2_u16, machine] {
        file.extend(half.to_le_bytes());
    }
    file.extend(1_u32.to_le_bytes());
    for word in [BASE + HEADERS, 64, 0] {
        file.extend(word.to_le_bytes());
    }
    file.extend(0_u32.to_le_bytes());
    for half in [64_u16, 56, 1, 0, 0, 0] {
        file.extend(half.to_le_bytes());
    }
    // One segment, to be read and executed.
    for half in [1_u32, 5] {
        file.extend(half.to_le_bytes());
    }
    for word in [0, BASE, BASE, length, length, 0x1000] {
        file.extend(word.to_le_bytes());
    }
    file.extend(code);
    Some(file)
}

/// A tar archive with the program.
fn archive(program: &[u8]) -> io::Result<Vec<u8>> {
    let mut header = [0_u8; 512];
    let mut field = |at: usize, text: &str| {
        header[at..at + text.len()].copy_from_slice(text.as_bytes());
    };
    field(0, PATH.trim_start_matches('/'));
    field(100, "0000755\0");
    field(108, "0000000\0");
    field(116, "0000000\0");
    field(124, &format!("{:011o}\0", program.len()));
    field(136, "00000000000\0");
    field(148, "        ");
    field(156, "0");
    field(257, "ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut archive = header.to_vec();
    archive.extend(program);
    archive.resize(archive.len().next_multiple_of(512) + 1024, 0);
    Ok(archive)
}

#[test]
fn the_program_waits_for_ever() {
    use std::os::unix::fs::PermissionsExt;

    let Some(program) = program(match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }) else {
        return println!("skipped: there is no program for this processor");
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pause");
    std::fs::write(&path, program).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut child = std::process::Command::new(&path).spawn().unwrap();
    assert!(child.try_wait().unwrap().is_none());
    child.kill().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&child.wait().unwrap()), Some(9));
}
