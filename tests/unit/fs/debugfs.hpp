// What debugfs, a reader that is not ours, finds in an image: names, kinds, modes, sizes, link counts, contents and
// targets, against a model.
#pragma once

#include <array>
#include <sstream>

#include "write_model.hpp"

namespace ringlet::fs::test {

class DebugfsComparison {
public:
    DebugfsComparison(const Scratch& s, const std::string& image) : dir_(s.path / "debugfs"), image_(image) {
        stdfs::create_directories(dir_);
    }
    /// Empty, or where the image is not as the model says.
    std::string difference(const ModelNode& root) {
        nodes_ = {{"/", {&root}}};
        const auto list_all = [](const auto& self, const ModelNode& node, const std::string& path, auto& to) -> void {
            for (const auto& [name, child] : node.children) {
                to[path + name] = {child.get()};
                if (child->type == NodeType::directory) self(self, *child, path + name + "/", to);
            }
        };
        list_all(list_all, root, "/", nodes_);
        list_directories();
        if (where_.empty()) look_at_inodes();
        return where_;
    }

private:
    struct Known {
        const ModelNode* node = nullptr;
        u64 inode = 0;
    };
    void differs(const std::string& path, const std::string& what) {
        if (where_.empty()) where_ = "debugfs: " + path + ": " + what;
    }
    /// Runs commands; one text per command.
    std::vector<std::string> ask(const std::vector<std::string>& commands) {
        const auto script = (dir_ / "commands").string(), out = (dir_ / "out").string();
        {
            std::ofstream file(script);
            for (const auto& c : commands) file << c << '\n';
        }
        run("debugfs -f " + script + " " + image_ + " > " + out + " 2> /dev/null");
        std::vector<std::string> answers;
        std::istringstream in(read_host(out));
        for (std::string line; std::getline(in, line);) {
            if (line.starts_with("debugfs: "))
                answers.emplace_back();
            else if (!answers.empty())
                answers.back() += line + "\n";
        }
        answers.resize(commands.size());
        return answers;
    }
    void list_directories() {
        std::vector<std::string> paths, commands;
        for (const auto& [path, known] : nodes_)
            if (known.node->type == NodeType::directory) {
                paths.push_back(path);
                commands.push_back("ls -p " + path);
            }
        const auto answers = ask(commands);
        for (usize i = 0; i < paths.size(); ++i) {
            std::istringstream in(answers[i]);
            const std::string prefix = paths[i] == "/" ? "/" : paths[i] + "/";
            usize found = 0;
            for (std::string line; std::getline(in, line);) {
                // "/inode/mode/uid/gid/name/size/"
                std::array<std::string, 7> field;
                std::istringstream parts(line);
                for (auto& f : field) std::getline(parts, f, '/');
                const std::string& name = field[5];
                if (name.empty() || name == "." || name == ".." || (prefix == "/" && name == "lost+found")) continue;
                const auto at = nodes_.find(prefix + name);
                if (at == nodes_.end()) return differs(prefix + name, "should not be there");
                ++found;
                at->second.inode = std::stoull(field[1]);
                const ModelNode& node = *at->second.node;
                const u32 kind = node.type == NodeType::directory ? 040000
                                 : node.type == NodeType::symlink ? 0120000
                                                                  : 0100000;
                if (std::stoul(field[2], nullptr, 8) != (kind | node.mode)) differs(prefix + name, "mode " + field[2]);
                if (kind != 040000 && std::stoull(field[6]) != node.data.size())
                    differs(prefix + name, "size " + field[6]);
            }
            if (found != nodes_.at(paths[i]).node->children.size()) differs(paths[i], "lacks entries");
        }
    }
    void look_at_inodes() {
        std::map<u64, std::pair<const ModelNode*, std::string>> inodes;
        for (const auto& [path, known] : nodes_) {
            if (known.node->type == NodeType::directory) continue;
            const auto [at, fresh] = inodes.try_emplace(known.inode, known.node, path);
            if (!fresh && at->second.first != known.node) differs(path, "is the same file as " + at->second.second);
        }
        std::vector<std::string> commands;
        for (const auto& [inode, what] : inodes) {
            const std::string number = std::to_string(inode);
            commands.push_back("stat <" + number + ">");
            commands.push_back("dump <" + number + "> " + (dir_ / number).string());
        }
        const auto answers = ask(commands);
        usize i = 0;
        for (const auto& [inode, what] : inodes) {
            const auto& [node, path] = what;
            const std::string& stat = answers[i];
            i += 2;
            if (stat.find("Links: " + std::to_string(node->links) + " ") == std::string::npos)
                differs(path, "links:\n" + stat);
            const stdfs::path content = dir_ / std::to_string(inode);
            if (const usize fast = stat.find("Fast link dest: \""); fast != std::string::npos) {
                if (stat.compare(fast + 17, node->data.size() + 1, node->data + '"') != 0) differs(path, "target");
            } else if (!stdfs::exists(content) || read_host(content) != node->data) {
                differs(path, "contents");
            }
            stdfs::remove(content);
        }
    }

    const stdfs::path dir_;
    const std::string image_;
    std::map<std::string, Known> nodes_;
    std::string where_;
};

}  // namespace ringlet::fs::test
