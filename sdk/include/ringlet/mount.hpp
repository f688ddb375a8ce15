// Filesystems onto the tree and off it, by the name of their device. What applications and the shell ask for, the
// composition root does (boot/storage.cpp). Context: thread.
//   TRY(mount("vdb1", "/data"));   …   TRY(unmount("/data"));
#pragma once

#include <string_view>

#include "lib/result.hpp"

namespace ringlet {

enum class Access : u8 { read_only, read_write };

/// Mounts what is on `device`, a disk or partition ("vdb1"), at the directory `where`; "memfs" is a new filesystem in
/// memory. A disk that cannot be written is read-only whatever was asked for. not_found: no such device, or no
/// filesystem on it; in_use: it is mounted already, or something is mounted at `where`; unsupported, corrupt, io,
/// no_memory, no_space, and the errors of a path. The log says why in words.
Result<> mount(std::string_view device, std::string_view where, Access access = Access::read_write);
/// Takes it off the tree; everything is on the medium when this returns. in_use: files are open, or something is
/// mounted inside; not_found: nothing is mounted there; io: it could not be written, and stays.
Result<> unmount(std::string_view where);

/// How the two are done in this image; set once at boot. An image without disks has neither: unsupported.
struct Mounter {
    Result<> (*mount)(std::string_view device, std::string_view where, Access access);
    Result<> (*unmount)(std::string_view where);
};
void set_mounter(const Mounter& mounter);

}  // namespace ringlet
