// Open files: a position, and what the mode says about writing.
#include "fs/vfs.hpp"

namespace ringlet::fs {

Result<> File::writable() const {
    if (mode_ == OpenMode::read) return fail(Error::read_only);
    return {};
}

/// What a write returns: for a synchronous file only once it is on the medium.
Result<usize> File::written(Result<usize> count) {
    if (count && *count != 0 && includes(mode_, OpenMode::synchronous)) TRY(sync(Sync::data));
    return count;
}

Result<usize> File::read(MutableBytes to) {
    const usize n = TRY(read_at(position_, to));
    position_ += n;
    return n;
}

Result<usize> File::read_at(u64 offset, MutableBytes to) {
    return inode_->read_at(offset, to, &ahead_);
}

Result<PinnedBytes> File::map_at(u64 offset) {
    return inode_->map_at(offset, &ahead_);
}

Result<usize> File::write(Bytes from) {
    TRY(writable());
    const bool at_end = includes(mode_, OpenMode::append);
    const usize n = TRY(at_end ? inode_->append(from, position_) : inode_->write_at(position_, from));
    position_ += n;
    return written(n);
}

Result<usize> File::write_at(u64 offset, Bytes from) {
    TRY(writable());
    return written(inode_->write_at(offset, from));
}

Result<> File::truncate(u64 size) {
    TRY(writable());
    return inode_->truncate(size);
}

Result<> File::allocate(u64 offset, u64 length, Grow grow) {
    TRY(writable());
    if (length == 0) return fail(Error::invalid);
    if (offset > u64{INT64_MAX} || length > u64{INT64_MAX} - offset) return fail(Error::too_large);
    return inode_->allocate(offset, length, grow == Grow::yes);
}

Result<> File::punch(u64 offset, u64 length) {
    TRY(writable());
    if (length == 0) return fail(Error::invalid);
    if (offset > u64{INT64_MAX} || length > u64{INT64_MAX} - offset) return fail(Error::too_large);
    return inode_->punch(offset, length);
}

Result<u64> File::seek(i64 offset, Whence whence) {
    const u64 base = whence == Whence::start ? 0 : whence == Whence::current ? position_ : size();
    i64 target = 0;
    if (base > u64{INT64_MAX} || __builtin_add_overflow(static_cast<i64>(base), offset, &target) || target < 0)
        return fail(Error::invalid);
    position_ = static_cast<u64>(target);
    return position_;
}

}  // namespace ringlet::fs
