// What the commands that change the tree share: flags, paths, walks without recursion (the shell's stack is small).
#pragma once

#include <memory>

#include "lib/function_ref.hpp"
#include "shell/commands/commands.hpp"

namespace ringlet::shell {

/// Reads `-xy` words off the front: true for those in `known`, by their place in it. `first`: the first other word.
/// False: one that is not known.
bool read_flags(const Arguments& args, std::string_view known, std::span<bool> set, usize& first);

/// A path in memory of its own, with room for what is appended while a tree is walked.
struct PathBuffer {
    char text[fs::kPathMax];
    usize length = 0;
    std::string_view view() const { return {text, length}; }
    /// `base`, a slash if there is none, `name`. name_too_long.
    Result<> set(std::string_view base, std::string_view name = {});
};

enum class When : u8 { entry, before, after };  ///< no directory; a directory, before and after what is in it

/// One walk through everything below a directory, itself included.
class TreeWalk {
public:
    static constexpr usize kDepth = 64;
    using Visit = FunctionRef<Result<>(std::string_view path, NodeType type, When when)>;

    /// Ends at the first error that `visit` returns, which is then `path()`'s. name_too_long: too deep, or too long.
    /// `emptied`: visit() removes each entry, so that every look into a directory begins at its start.
    Result<> run(std::string_view top, Visit visit, bool emptied = false);
    std::string_view path() const { return path_.view(); }
    usize depth() const { return depth_; }

private:
    PathBuffer path_;
    struct Level {
        u64 cookie;
        usize length;  ///< of the path
    } levels_[kDepth];
    usize depth_ = 0;
};

/// Everything called `path`. `all`: directories too, with what is in them. Complaints are printed.
Outcome copy_tree(Shell& shell, std::string_view command, std::string_view from, std::string_view to, bool all);
Outcome remove_tree(Shell& shell, std::string_view command, std::string_view path);

}  // namespace ringlet::shell
