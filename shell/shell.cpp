#include "shell/shell.hpp"

#include <algorithm>
#include <cstring>

#include <ringlet/console.hpp>
#include <ringlet/system.hpp>

#include "lib/parse.hpp"

namespace ringlet::shell {

namespace {

constexpr char kCtrlC = 3;

bool is_space(char c) {
    return c == ' ' || c == '\t';
}

const Report* find_report(std::string_view name) {
    for (const Report& r : reports())
        if (r.name == name) return &r;
    return nullptr;
}

void write_to_console(std::string_view text) {
    kernel::console_write(text);
}

}  // namespace

std::string_view split(std::string_view line, std::span<char> storage, Arguments& out) {
    out = Arguments{};
    usize used = 0, i = 0;
    if (storage.size() < line.size()) return "line too long";
    for (;;) {
        while (i < line.size() && is_space(line[i])) ++i;
        if (out.count == 1 && out.rest.empty()) out.rest = substring(line, i);
        if (i == line.size()) return {};
        if (out.count == Arguments::kMax) return "too many words";
        const usize start = used;
        char quote = 0;
        for (; i < line.size() && (quote != 0 || !is_space(line[i])); ++i) {
            char c = line[i];
            if (quote == 0 && (c == '"' || c == '\'')) {
                quote = c;
                continue;
            }
            if (c == quote) {
                quote = 0;
                continue;
            }
            if (c == '\\' && quote != '\'' && i + 1 < line.size()) c = line[++i];
            storage[used++] = c;
        }
        if (quote != 0) return "a quote is not closed";
        out.words[out.count++] = {storage.data() + start, used - start};
    }
}

Outcome Shell::execute(std::string_view line) {
    char storage[LineEditor::kMaxLine];
    Arguments args;
    if (const auto error = split(line, storage, args); !error.empty()) {
        print("{}\n", error);
        return Outcome::failed;
    }
    if (args.count == 0) return Outcome::done;
    if (const Report* report = find_report(args[0])) {
        ConsoleWriter writer;
        report->write(writer, args.rest);
        return Outcome::done;
    }
    const Command* found = nullptr;
    for_each_command([&](const Command& c) {
        if (c.name == args[0]) found = &c;
    });
    if (found != nullptr) {
        const Outcome outcome = found->run(*this, args);
        if (outcome == Outcome::usage) print("usage: {}\n", found->usage);
        return outcome;
    }
    print("{}: unknown command; `help` lists them\n", args[0]);
    return Outcome::failed;
}

void Shell::run() {
    for (;;) {
        char prompt[64];
        auto out = [](std::string_view s) { write_to_console(s); };
        auto completer = [this](std::string_view line, Completions& to) { complete(line, to); };
        const auto shown = directory_length_ <= 40 ? directory() : substring(directory(), directory_length_ - 40);
        editor_.begin(format_to(prompt, "ringlet:{}$ ", shown), out);
        LineEditor::Event event;
        do event = editor_.key(read_key(), out, completer);
        while (event == LineEditor::Event::none);
        if (event == LineEditor::Event::line) execute(editor_.line());
    }
}

void Shell::set_directory(std::string_view absolute_path) {
    directory_length_ = std::min(absolute_path.size(), sizeof directory_);
    std::memcpy(directory_, absolute_path.data(), directory_length_);
}

bool Shell::interrupted() {
    // Other keys stay: they are the next commands of somebody who types ahead.
    if (!kernel::console_discard_through(kCtrlC)) return false;
    print("^C\n");
    return true;
}

void Shell::complete(std::string_view line, Completions& out) {
    const usize space = line.rfind(' ');
    const std::string_view word = substring(line, space == line.npos ? 0 : space + 1);
    if (line.find_first_not_of(' ') != line.npos && substring(line, line.find_first_not_of(' ')).find(' ') != line.npos)
        return complete_path(word, out);
    for_each_command([&](const Command& c) {
        if (c.name.starts_with(word)) out.add(c.name);
    });
    for (const Report& r : reports())
        if (r.name.starts_with(word)) out.add(r.name);
}

void Shell::complete_path(std::string_view word, Completions& out) {
    const usize slash = word.rfind('/');
    const std::string_view parent = slash == word.npos ? std::string_view{} : substring(word, 0, slash + 1);
    const std::string_view prefix = substring(word, parent.size());
    char storage[1024];
    const auto path = absolute(parent.empty() ? "." : parent, storage);
    if (!path) return;
    auto directory = files().open_directory(*path);
    if (!directory) return;
    DirEntry entry;
    while (directory->next(entry).value_or(false)) {
        const std::string_view name = entry.name();
        if (!name.starts_with(prefix) || (name.starts_with('.') && !prefix.starts_with('.'))) continue;
        char whole[320];
        out.add(format_to(whole, "{}{}{}", parent, name, entry.type == NodeType::directory ? "/" : ""));
    }
}

Outcome complain(std::string_view command, std::string_view subject, Error e) {
    print("{}: {}: {}\n", command, subject, e);
    return Outcome::failed;
}

std::string_view human_size(u64 bytes, std::span<char, 16> to) {
    static constexpr std::string_view kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    usize unit = 0;
    u64 tenths = bytes > ~u64{0} / 10 ? bytes : bytes * 10;
    for (u64 n = bytes; n >= 1024; n /= 1024) ++unit;
    for (usize i = 0; i < unit; ++i) tenths /= 1024;
    if (unit == 0) return format_to(to, "{} B", bytes);
    return format_to(to, "{}.{} {}", tenths / 10, tenths % 10, kUnits[unit]);
}

}  // namespace ringlet::shell
