// Files for applications: the whole tree of mounted filesystems, the same that the shell sees.
//   File f = TRY(files().open("/index.html"));  usize n = TRY(f.read(buffer));
#pragma once

#include "fs/vfs.hpp"

namespace ringlet {

using fs::Directory;
using fs::DirEntry;
using fs::File;
using fs::NodeType;
using fs::OpenMode;
using fs::Stat;
using fs::Whence;

/// The tree of this image. Context: thread.
fs::Vfs& files();

}  // namespace ringlet
