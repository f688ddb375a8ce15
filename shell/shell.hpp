// The serial shell: reads lines, splits them into words, runs commands. A client of the SDK only: whatever it can do,
// an application can do too. Context: its own thread.
#pragma once

#include <span>
#include <string_view>

#include <ringlet/console.hpp>
#include <ringlet/file.hpp>

#include "shell/line.hpp"

namespace ringlet::shell {

class Shell;

/// The words of one command line; words[0] is the command's name.
struct Arguments {
    static constexpr usize kMax = 16;
    std::string_view words[kMax];
    usize count = 0;
    std::string_view rest;  ///< everything after the first word, as typed

    std::string_view operator[](usize i) const { return i < count ? words[i] : std::string_view{}; }
};

/// Splits `line` into words: spaces separate, quotes and backslashes keep. The words live in `storage`.
/// The error is a sentence for the user; empty when all is well.
std::string_view split(std::string_view line, std::span<char> storage, Arguments& out);

enum class Outcome : u8 { done, failed, usage };

struct Command {
    std::string_view name;
    std::string_view usage;    ///< "cat FILE..."
    std::string_view summary;  ///< one line for `help`
    Outcome (*run)(Shell& shell, const Arguments& args);
};

/// The commands of every image, those that need a network, the resolver, the time client; each sorted by name.
std::span<const Command> commands();
std::span<const Command> network_commands();
std::span<const Command> name_commands();
std::span<const Command> time_commands();

class Shell {
public:
    /// Offers `commands()`, `more` (sorted by name) and the reports of <ringlet/system.hpp>.
    explicit Shell(std::span<const Command> more = {}) : more_(more) {}
    /// Reads and runs lines for ever.
    [[noreturn]] void run();
    /// Runs one line; what it prints goes to the console.
    Outcome execute(std::string_view line);

    /// In the order of their names.
    template <class F> void for_each_command(F visit) const {
        auto more = more_.begin();
        for (const Command& c : commands()) {
            for (; more != more_.end() && more->name < c.name; ++more) visit(*more);
            visit(c);
        }
        for (; more != more_.end(); ++more) visit(*more);
    }

    /// The absolute path that `path` means here. name_too_long, invalid.
    Result<std::string_view> absolute(std::string_view path, std::span<char> storage) const {
        return fs::join_path(directory(), path, storage);
    }
    std::string_view directory() const { return {directory_, directory_length_}; }
    void set_directory(std::string_view absolute_path);
    /// True when control-C was pressed since the command began. Long commands ask now and then.
    bool interrupted();

private:
    void complete(std::string_view line, Completions& out);
    void complete_path(std::string_view word, Completions& out);

    std::span<const Command> more_;
    LineEditor editor_;
    char directory_[512] = "/";
    usize directory_length_ = 1;
};

/// `cat: /x: not found`
Outcome complain(std::string_view command, std::string_view subject, Error e);

/// "1.5 MiB" into `to`.
std::string_view human_size(u64 bytes, std::span<char, 16> to);

}  // namespace ringlet::shell
