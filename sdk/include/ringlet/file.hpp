// Files for applications: the whole tree of mounted filesystems, the same that the shell sees.
//   File f = TRY(files().open("/index.html"));  usize n = TRY(f.read(buffer));
// A new version of a file that is there whole or not at all, whenever the machine stops:
//   File f = TRY(files().open("/config.new", OpenMode::create | OpenMode::truncate));
//   TRY(f.write(bytes));  TRY(f.sync());  TRY(files().rename("/config.new", "/config"));  TRY(files().sync());
// fs/vfs.hpp says what each call does and which errors it returns.
#pragma once

#include "fs/vfs.hpp"

namespace ringlet {

using fs::Attributes;
using fs::Directory;
using fs::DirEntry;
using fs::File;
using fs::Follow;
using fs::Grow;
using fs::NodeType;
using fs::OpenMode;
using fs::Stat;
using fs::Sync;
using fs::Timestamp;
using fs::Whence;

/// The tree of this image. Context: thread.
fs::Vfs& files();

}  // namespace ringlet
