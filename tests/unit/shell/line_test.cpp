// The line editor against a small terminal model: what the user sees must equal what the editor holds.
#include <catch2/catch.hpp>

#include <random>
#include <string>
#include <vector>

#include "shell/line.hpp"

using namespace ringlet;
using namespace ringlet::shell;

namespace {

/// One unwrapped terminal line: enough of VT100 to check the editor's output.
struct Terminal {
    std::string row;
    usize column = 0;
    bool bell = false;
    std::string sequence;

    void put(char c) {
        if (!sequence.empty()) {
            sequence += c;
            if (sequence.size() > 2 && c >= 0x40) finish();
            return;
        }
        if (c == '\x1b') {
            sequence = c;
            return;
        }
        if (c == '\a') {
            bell = true;
            return;
        }
        if (c == '\n') {
            row.clear();
            column = 0;
            return;
        }
        REQUIRE(static_cast<unsigned char>(c) >= 0x20);
        if (column == row.size())
            row += c;
        else
            row[column] = c;
        ++column;
    }
    void finish() {
        const char last = sequence.back();
        const int n = sequence.size() > 3 ? std::stoi(sequence.substr(2)) : 1;
        if (last == 'D') {
            REQUIRE(column >= usize(n));
            column -= usize(n);
        } else if (last == 'C')
            column += usize(n);
        else if (last == 'K')
            row.resize(column);
        else if (last == 'J' || last == 'H') {
            row.clear();
            column = 0;
        } else
            FAIL("unknown sequence");
        REQUIRE(column <= row.size());
        sequence.clear();
    }
};

struct Session {
    LineEditor editor;
    Terminal terminal;
    std::vector<std::string> lines;
    std::vector<std::string> words{"help", "halt", "ls", "uptime"};

    Session() { begin(); }
    void begin() {
        auto out = [&](std::string_view s) {
            for (char c : s) terminal.put(c);
        };
        editor.begin("> ", out);
    }
    void type(std::string_view keys) {
        auto out = [&](std::string_view s) {
            for (char c : s) terminal.put(c);
        };
        auto complete = [&](std::string_view line, Completions& to) {
            const auto word = line.substr(line.rfind(' ') + 1);
            for (const auto& w : words)
                if (w.starts_with(word)) to.add(w);
        };
        for (char c : keys) {
            const auto event = editor.key(c, out, complete);
            if (event == LineEditor::Event::line) lines.emplace_back(editor.line());
            if (event != LineEditor::Event::none)
                begin();
            else if (terminal.sequence.empty())
                CHECK(terminal.row == "> " + std::string(editor.line()));
        }
    }
};

}  // namespace

TEST_CASE("a line is what was typed, for every line ending") {
    Session s;
    s.type("ls -l\rcat a\nls\r\n\nx\n");
    CHECK(s.lines == std::vector<std::string>{"ls -l", "cat a", "ls", "", "x"});
}

TEST_CASE("editing keys change the middle of a line") {
    Session s;
    s.type("hello\x1b[D\x1b[D\x7fX\x01Y\x05Z\r");
    CHECK(s.lines.back() == "YheXloZ");
    s.type("one two three\x17\x17"
           "four\r");
    CHECK(s.lines.back() == "one four");
    s.type("abcdef\x01\x1b[C\x1b[3~\x0b\r");
    CHECK(s.lines.back() == "a");
    s.type("garbage\x15ok\r");
    CHECK(s.lines.back() == "ok");
    s.type("abc\x1b[1~x\x1b[4~y\x1b[Hz\x1b[Fw\r");
    CHECK(s.lines.back() == "zxabcyw");
}

TEST_CASE("history goes back and forth and keeps the draft") {
    Session s;
    s.type("first\rsecond\rsecond\r");
    CHECK(s.editor.history_size() == 2);
    s.type("dra\x1b[A\x1b[A\x1b[A\x1b[B\x1b[Bft\r");
    CHECK(s.lines.back() == "draft");
    s.type("\x10\x10\r");
    CHECK(s.lines.back() == "second");
}

TEST_CASE("completion inserts what is certain and lists the rest") {
    Session s;
    s.type("up\t\r");
    CHECK(s.lines.back() == "uptime ");
    s.type("h\te\t\r");
    CHECK(s.lines.back() == "help ");
    s.type("zz\t");
    CHECK(s.terminal.bell);
}

TEST_CASE("an interrupted line is forgotten; control-D on an empty line ends the input") {
    Session s;
    s.type("rubbish\x03ok\r");
    CHECK(s.lines == std::vector<std::string>{"ok"});
    auto out = [](std::string_view) {};
    auto none = [](std::string_view, Completions&) {};
    CHECK(s.editor.key(4, out, none) == LineEditor::Event::end_of_input);
}

TEST_CASE("a line too long rings the bell and loses nothing") {
    Session s;
    s.type(std::string(300, 'a'));
    CHECK(s.terminal.bell);
    s.type("\r");
    CHECK(s.lines.back().size() == LineEditor::kMaxLine);
}

TEST_CASE("random keys never desynchronise the screen") {
    std::mt19937 random(20261122);
    Session s;
    const std::vector<std::string> keys{"a",       "b",     " ",    "\x7f", "\x1b[A", "\x1b[B",    "\x1b[C",  "\x1b[D",
                                        "\x01",    "\x05",  "\x0b", "\x15", "\x17",   "\t",        "\r",      "\x0c",
                                        "\x1b[3~", "\x04x", "\x10", "\x0e", "\x1bq",  "\x1b[200~", "\xc3\xa9"};
    for (int i = 0; i < 20000; ++i) s.type(keys[random() % keys.size()]);
}
