// The line editor: one line of text from single keystrokes, with editing, history and completion, for any terminal
// that understands VT100 (and for a script that just sends a line). Pure: keys in, text out; no clock, no console.
// Context: the shell thread.
#pragma once

#include <array>
#include <string_view>

#include "lib/fixed_vector.hpp"
#include "lib/format.hpp"

namespace ringlet::shell {

/// What may complete the word before the cursor.
struct Completions {
    FixedVector<std::array<char, 64>, 64> words;  ///< NUL-terminated; a trailing '/' keeps the cursor glued
    bool truncated = false;                       ///< there were more than fit
    void add(std::string_view word);
};

/// Fills `out` with all ways to complete the last word of `line` (the part before the cursor).
using Completer = FunctionRef<void(std::string_view line, Completions& out)>;

class LineEditor {
public:
    static constexpr usize kMaxLine = 256;
    static constexpr usize kHistory = 16;

    enum class Event : u8 { none, line, interrupted, end_of_input };

    /// Starts a new line: shows the prompt (at most 63 characters are kept).
    void begin(std::string_view prompt, TextSink out);
    /// One key. `line`: line() is complete and the cursor stands on a fresh terminal line.
    Event key(char c, TextSink out, Completer complete);
    std::string_view line() const { return {text_, length_}; }
    /// The `i`th most recent line, 0 the newest; empty when there is none.
    std::string_view history(usize i) const;
    usize history_size() const { return history_count_; }

private:
    enum class Escape : u8 { none, escape, bracket, number };
    struct Entry {
        char text[kMaxLine];
        usize length;
    };

    Event control(char c, TextSink out, Completer complete);
    void escape(char c, TextSink out);
    void cursor_key(char final, TextSink out);
    void insert(char c, TextSink out);
    void erase(usize from, usize count, TextSink out);
    void move_to(usize position, TextSink out);
    void recall(int step, TextSink out);
    void complete_word(TextSink out, Completer complete);
    void replace(std::string_view with, TextSink out);
    void redraw(TextSink out);
    void remember();
    usize word_start() const;

    char prompt_[64];
    usize prompt_length_ = 0;
    char text_[kMaxLine];
    usize length_ = 0, cursor_ = 0;
    Entry history_[kHistory];
    usize history_next_ = 0, history_count_ = 0, recalled_ = 0;
    Entry draft_;
    Escape escape_ = Escape::none;
    char escape_number_ = 0;
    bool after_return_ = false;
};

}  // namespace ringlet::shell
