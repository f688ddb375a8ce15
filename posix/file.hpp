// Descriptions of files and directories of the tree (fs/vfs.hpp).
#pragma once

#include <limits.h>

#include "fs/vfs.hpp"
#include "kernel/sched/mutex.hpp"
#include "kernel/sync/lock.hpp"
#include "posix/description.hpp"

namespace ringlet::posix {

/// struct stat from what the tree says.
void fill(struct stat& out, const fs::Stat& from);
fs::OpenMode mode_of(int flags);

/// An open file. Reads and writes at the position are one at a time, as POSIX has it (§2.9.7).
class FileDescription final : public Description {
public:
    FileDescription(fs::File file, int flags) : Description(flags), file_(std::move(file)) {}
    Outcome<usize> read(MutableBytes to) override;
    Outcome<usize> write(Bytes from) override;
    Outcome<usize> read_at(u64 offset, MutableBytes to) override;
    Outcome<usize> write_at(u64 offset, Bytes from) override;
    Outcome<u64> seek(i64 offset, int whence) override;
    Outcome<> stat(struct stat& out) override;
    Outcome<> truncate(u64 size) override;
    Outcome<> sync(bool data_only) override;
    FileDescription* as_file() override { return this; }
    /// For fallocate() and the like, which do not move the position.
    fs::File& file() { return file_; }

private:
    fs::File file_;
    kernel::Guarded<char, kernel::Rank::descriptor, kernel::Mutex> position_;
};

class DirectoryDescription final : public Description {
public:
    DirectoryDescription(fs::Directory directory, int flags, std::string_view path);
    Outcome<usize> read(MutableBytes to) override;
    Outcome<u64> seek(i64 offset, int whence) override;
    Outcome<> stat(struct stat& out) override;
    Outcome<> sync(bool data_only) override;
    DirectoryDescription* as_directory() override { return this; }
    /// Where it was opened: what the *at() functions begin at.
    std::string_view path() const { return path_; }
    /// Whole entries of struct dirent, as many as fit; 0 at the end.
    Outcome<usize> entries(MutableBytes to);

private:
    struct State {
        fs::Directory directory;
        bool put_back = false;  ///< `next` is still to be told
        fs::DirEntry next;
    };
    kernel::Guarded<State, kernel::Rank::descriptor, kernel::Mutex> state_;
    char path_[PATH_MAX];
};

}  // namespace ringlet::posix
