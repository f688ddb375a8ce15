#include "shell/commands/walk.hpp"

#include <algorithm>
#include <new>

#include "lib/parse.hpp"

namespace ringlet::shell {

bool read_flags(const Arguments& args, std::string_view known, std::span<bool> set, usize& first) {
    for (first = 1; first < args.count && args[first].size() > 1 && args[first].starts_with('-'); ++first) {
        if (args[first] == "--") return ++first, true;
        for (const char c : substring(args[first], 1)) {
            const usize at = known.find(c);
            if (at == known.npos) return false;
            set[at] = true;
        }
    }
    return true;
}

Result<> PathBuffer::set(std::string_view base, std::string_view name) {
    const bool slash = !name.empty() && !base.ends_with('/');
    if (base.size() + slash + name.size() >= sizeof text) return fail(Error::name_too_long);
    char* end = std::copy(base.begin(), base.end(), text);  // `base` may be the beginning of this very path
    if (slash) *end++ = '/';
    end = std::copy(name.begin(), name.end(), end);
    length = static_cast<usize>(end - text);
    return {};
}

Result<> TreeWalk::run(std::string_view top, Visit visit, bool emptied) {
    TRY(path_.set(top));
    const Stat s = TRY(files().lstat(top));
    if (s.type != NodeType::directory) return visit(top, s.type, When::entry);
    TRY(visit(path(), s.type, When::before));
    levels_[0] = {0, path_.length};
    depth_ = 1;
    DirEntry entry;
    while (depth_ != 0) {
        Level& level = levels_[depth_ - 1];
        path_.length = level.length;
        Directory directory = TRY(files().open_directory(path()));
        directory.resume(emptied ? 0 : level.cookie);
        bool more;
        do more = TRY(directory.next(entry));
        while (more && (entry.name() == "." || entry.name() == ".."));
        level.cookie = directory.cookie();
        directory = Directory();
        if (!more) {
            --depth_;
            TRY(visit(path(), NodeType::directory, When::after));
            continue;
        }
        TRY(path_.set(path(), entry.name()));
        if (entry.type != NodeType::directory) {
            TRY(visit(path(), entry.type, When::entry));
            continue;
        }
        if (depth_ == kDepth) return fail(Error::name_too_long);
        TRY(visit(path(), entry.type, When::before));
        levels_[depth_++] = {0, path_.length};
    }
    return {};
}

namespace {

Result<> copy_file(Shell& shell, std::string_view from, std::string_view to) {
    static constexpr usize kPiece = 16384;
    File in = TRY(files().open(from));
    const Stat source = TRY(in.stat());
    if (const auto there = files().stat(to);
        there && there->inode == source.inode && there->filesystem == source.filesystem)
        return fail(Error::exists);  // it would be emptied before it is read
    const std::unique_ptr<std::byte[]> piece(new (std::nothrow) std::byte[kPiece]);
    if (!piece) return fail(Error::no_memory);
    File out = TRY(files().open(to, OpenMode::create | OpenMode::truncate, source.mode));
    for (;;) {
        if (shell.interrupted()) return fail(Error::cancelled);
        Bytes left(piece.get(), TRY(in.read({piece.get(), kPiece})));
        if (left.empty()) return {};
        while (!left.empty()) left = left.subspan(TRY(out.write(left)));
    }
}

Result<> copy_link(std::string_view from, std::string_view to) {
    const std::unique_ptr<char[]> target(new (std::nothrow) char[fs::kPathMax]);
    if (!target) return fail(Error::no_memory);
    const usize length = TRY(files().read_link(from, {target.get(), fs::kPathMax}));
    return files().symlink({target.get(), length}, to);
}

}  // namespace

Outcome copy_tree(Shell& shell, std::string_view command, std::string_view from, std::string_view to, bool all) {
    if (!all) {
        const auto done = copy_file(shell, from, to);
        return done ? Outcome::done : complain(command, from, done.error());
    }
    const std::unique_ptr<TreeWalk> walk(new (std::nothrow) TreeWalk);
    const std::unique_ptr<PathBuffer> copy(new (std::nothrow) PathBuffer);
    if (!walk || !copy) return complain(command, from, Error::no_memory);
    Stat made;  // the directory made first: met again, it is a copy of itself
    const auto done = walk->run(from, [&](std::string_view path, NodeType type, When when) -> Result<> {
        if (shell.interrupted()) return fail(Error::cancelled);
        std::string_view below = substring(path, from.size());
        if (below.starts_with('/')) below.remove_prefix(1);
        TRY(copy->set(to, below));
        if (when == When::after) return {};
        if (type == NodeType::symlink) return copy_link(path, copy->view());
        if (type == NodeType::file) return copy_file(shell, path, copy->view());
        if (when == When::entry) return fail(Error::unsupported);
        const Stat source = TRY(files().stat(path));
        if (source.inode == made.inode && source.filesystem == made.filesystem) return fail(Error::invalid);
        const auto there = files().create_directory(copy->view(), source.mode);
        if (!there && there.error() != Error::exists) return there;
        const Stat target = TRY(files().stat(copy->view()));
        if (target.type != NodeType::directory) return fail(Error::not_directory);
        if (made.filesystem == 0) made = target;
        return {};
    });
    return done ? Outcome::done : complain(command, walk->path(), done.error());
}

Outcome remove_tree(Shell& shell, std::string_view command, std::string_view path) {
    const std::unique_ptr<TreeWalk> walk(new (std::nothrow) TreeWalk);
    if (!walk) return complain(command, path, Error::no_memory);
    const auto remove = [&](std::string_view at, NodeType, When when) -> Result<> {
        if (shell.interrupted()) return fail(Error::cancelled);
        if (when == When::before) return {};
        return when == When::after ? files().remove_directory(at) : files().unlink(at);
    };
    const auto done = walk->run(path, remove, true);
    return done ? Outcome::done : complain(command, walk->path(), done.error());
}

}  // namespace ringlet::shell
