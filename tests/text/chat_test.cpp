// transformers agrees with us: scripts/golden/chat.py wrote the numbers.

#include "tessera/chat.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tessera/dataset.h"
#include "tessera/error.h"
#include "text/chat/canonical.h"
#include "text/hash.h"
#include "text/small.h"

namespace tessera::tests {

namespace {

namespace fs = std::filesystem;
using nlohmann::json;

const fs::path golden = fs::path(TESSERA_GOLDEN) / "chat";

json read_json(const fs::path& file) {
  return json::parse(std::ifstream(file));
}

std::vector<ChatMessage> messages_of(const json& list) {
  std::vector<ChatMessage> messages;
  for (const auto& message : list) {
    messages.push_back({message["role"], message["content"]});
  }
  return messages;
}

// The InputError that `action` ends with; empty where it does not.
template <typename Action>
std::string refusal(Action action) {
  try {
    action();
  } catch (const InputError& error) {
    std::string text = error.what();
    EXPECT_EQ(text.find('\n'), text.npos) << text;
    return text;
  }
  return {};
}

class GoldenChat : public testing::TestWithParam<std::string> {
 protected:
  fs::path folder = golden / GetParam();
  json expected = read_json(folder / "expected.json");
  Tokenizer tokenizer = Tokenizer::load(
      golden / (expected["tokenizer"].get<std::string>() + ".json"));
};

} // namespace

TEST_P(GoldenChat, TokensAreTransformers) {
  const auto chat = load_chat_template(folder);
  int refused = 0;
  for (const auto& want : expected["chats"]) {
    const auto messages = messages_of(want["messages"]);
    SCOPED_TRACE(want["messages"].dump());
    if (want.contains("refused")) {
      ++refused;
      EXPECT_NE(refusal([&] { render_chat(chat, messages); }), "");
      continue;
    }
    const auto got = encode_chat(chat, tokenizer, messages);
    EXPECT_EQ(got.tokens, want["tokens"].get<TokenIds>());
    std::string prompt;
    for (const auto& part : render_chat(chat, messages)) {
      prompt += part.text;
    }
    prompt += generation_prompt(chat);
    EXPECT_EQ(tokenizer.encode(prompt, false), want["prompt"].get<TokenIds>());
    std::vector<int> answers(got.tokens.size(), 1);
    for (const auto& [begin, end] : got.context) {
      ASSERT_TRUE(0 <= begin && begin < end);
      ASSERT_LE(end, static_cast<int>(answers.size()));
      std::fill(answers.begin() + begin, answers.begin() + end, 0);
    }
    EXPECT_EQ(answers, want["answers"].get<std::vector<int>>());
  }
  EXPECT_EQ(refused > 0, chat.family == ChatFamily::llama2);
}

INSTANTIATE_TEST_SUITE_P(
    Templates,
    GoldenChat,
    testing::Values(
        "chatml",
        "chatml_hermes",
        "qwen2",
        "qwen2.5",
        "smollm2",
        "qwen3",
        "qwen3_first",
        "qwen3_2507",
        "llama2",
        "llama3",
        "zephyr"),
    [](const auto& info) {
      auto name = info.param;
      std::replace(name.begin(), name.end(), '.', '_');
      return name;
    });

namespace {

class ChatTest : public testing::Test {
 protected:
  Folder folder;

  std::string load_config(const json& config) {
    folder.write("tokenizer_config.json", config.dump());
    return refusal([&] { load_chat_template(folder.path()); });
  }
  std::string load(const std::string& jinja) {
    return load_config(json{{"chat_template", jinja}, {"eos_token", "</s>"}});
  }
};

constexpr auto chatml =
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + "
    "message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

} // namespace

TEST_F(ChatTest, LayoutAndSpellingDoNotMatter) {
  const auto want = text::canonical_template(chatml)->text;
  for (const std::string same :
       {"{%- for message in messages -%}\n  {{- \"<|im_start|>\"+message.role "
        "}}"
        "\n{{ message.content }}{{'<|im_end|>\n'}}\n{%- endfor -%}\n"
        "{%- if add_generation_prompt -%}\n{{'<|im_start|>assistant\n' -}}\n"
        "{%- endif %}\n",
        "{# a note #}\n{% for message in messages %}\n    {% generation %}\n"
        "{{ '<|im_start|>' }}{{message[\"role\"] + '\\n'}}{{message.content}}"
        "<|im_end|>{{ '\n' -}}\n{% endgeneration %}\n{% endfor %}\n"
        "{%if add_generation_prompt%}<|im_start|>assistant{{ '\n' -}}"
        "\n{%endif%}"}) {
    const auto got = text::canonical_template(same);
    ASSERT_TRUE(got) << same;
    EXPECT_EQ(got->text, want) << same;
  }
  EXPECT_EQ(load(chatml), "");
}

TEST_F(ChatTest, AnotherProgramIsAnotherTemplate) {
  const auto changed = [&](const std::string& from, const std::string& to) {
    std::string text = chatml;
    text.replace(text.find(from), from.size(), to);
    return load(text);
  };
  const std::vector<std::pair<std::string, std::string>> changes = {
      {"'\\n' + message", "message"},
      {"<|im_end|>' + '\\n'", "<|im_end|>'"},
      {"message['content']", "message['content'] | trim"},
      {"message['content']", "message['text']"},
      {"<|im_end|>", "<|im_end |>"},
      {"{% endfor %}", "{% endfor %}\n\n"},
      {"in messages", "in messages[1:]"},
      {"'<|im_start|>' +", "'<|im_start|>' ~"},
      {"{% for", " {{ bos_token }}{% for"}};
  for (const auto& [from, to] : changes) {
    const auto refused = changed(from, to);
    EXPECT_NE(refused.find("got one that begins {"), refused.npos)
        << from << " -> " << to << ": " << refused;
  }
  EXPECT_EQ(changed("{% endfor %}", "{% endfor %}\n"), ""); // trim_blocks
}

// Llama 3.1 adds the date, Mistral has no spaces around an answer: neither is
// what its neighbour is.
TEST_F(ChatTest, NeighboursAreRefusedByTheirBeginning) {
  const auto llama31 = load(std::string(
      "{{- bos_token }}\n{%- if custom_tools is defined %}\n{%- endif %}\n"
      "{%- if not date_string is defined %}{%- endif %}"));
  EXPECT_NE(llama31.find("begins {{- bos_token }}?{%- if custom"), llama31.npos)
      << llama31;
  EXPECT_NE(llama31.find("give them as \"text\""), llama31.npos) << llama31;
  EXPECT_NE(
      load(std::string(
               "{{ bos_token }}{% for message in messages %}{% if "
               "message['role'] == 'user' %}{{ '[INST] ' + message['content'] "
               "+ ' [/INST]' }}{% endif %}{% endfor %}"))
          .find("begins {{ bos_token }}{% for"),
      std::string::npos);
  for (const std::string broken :
       {"{% for", "{{ 'a }}", "{{ '\\q' }}", "{%%}", ""}) {
    EXPECT_NE(load(broken), "") << broken;
  }
}

TEST_F(ChatTest, MissingTemplatesAreTold) {
  EXPECT_NE(
      refusal([&] {
        load_chat_template(folder.path());
      }).find("tokenizer_config.json; got none"),
      std::string::npos);
  EXPECT_NE(load_config(json::object()).find("got none"), std::string::npos);
  EXPECT_NE(load_config(json{{"chat_template", 3}}), "");
  EXPECT_NE(load_config(json::array()).find("an object"), std::string::npos);
  EXPECT_NE(
      load_config(
          json{{"chat_template", {{{"name", "rag"}, {"template", chatml}}}}})
          .find("without a \"default\""),
      std::string::npos);
}

TEST_F(ChatTest, TheFileOfItsOwnWins) {
  load_config(
      json{{"chat_template", "{{ messages }}"}, {"bos_token", nullptr}});
  folder.write("special_tokens_map.json", R"({"eos_token": {"content": "E"}})");
  folder.write("chat_template.jinja", chatml);
  const auto chat = load_chat_template(folder.path());
  EXPECT_EQ(chat, (ChatTemplate{ChatFamily::chatml, std::nullopt, "", "E"}));
}

TEST_F(ChatTest, DatasetsReadChats) {
  const auto from = golden / "qwen2.5";
  const auto expected = read_json(from / "expected.json");
  const auto tokenizer = Tokenizer::load(golden / "byte_level.json");
  std::string lines;
  for (const auto& chat : expected["chats"]) {
    lines += json{{"messages", chat["messages"]}, {"id", 7}}.dump() + "\n";
  }
  lines += "{\"text\": \"hello\"}\n";
  const auto file = folder.write("train.jsonl", lines);
  DatasetOptions options{.eos_id = 0, .tokenizer_folder = from};
  const auto data = read_dataset(file, tokenizer, options);
  ASSERT_EQ(data.documents.size(), expected["chats"].size() + 1);
  for (std::size_t i = 0; i < expected["chats"].size(); ++i) {
    const auto& document = data.documents[i];
    EXPECT_EQ(document.tokens, expected["chats"][i]["tokens"].get<TokenIds>());
    EXPECT_TRUE(document.context.empty());
    EXPECT_EQ(document.line, static_cast<std::int64_t>(i) + 1);
  }
  EXPECT_EQ(data.documents.back().tokens.back(), 0);
}

TEST_F(ChatTest, MaskedChatsLearnTheAnswersAlone) {
  const auto from = golden / "llama3";
  const auto chat = read_json(from / "expected.json")["chats"][2];
  const auto tokenizer = Tokenizer::load(golden / "byte_level.json");
  const auto file =
      folder.write("train.jsonl", json{{"messages", chat["messages"]}}.dump());
  const auto data = read_dataset(
      file, tokenizer, {.mask_prompt = true, .tokenizer_folder = from});
  const auto batch = make_batch(data, {{0}});
  const auto answers = chat["answers"].get<std::vector<float>>();
  EXPECT_EQ(
      batch.weights, std::vector<float>(answers.begin() + 1, answers.end()));
  EXPECT_EQ(
      batch.target_count, std::count(answers.begin(), answers.end(), 1.0f));
  EXPECT_GT(batch.target_count, 0);
}

TEST_F(ChatTest, MalformedChatsAreToldByFileAndLine) {
  const auto tokenizer = Tokenizer::load(golden / "sentencepiece.json");
  const auto read = [&](const std::string& line) {
    const auto file = folder.write("train.jsonl", "\n" + line);
    return refusal([&] {
      read_dataset(file, tokenizer, {.tokenizer_folder = golden / "llama2"});
    });
  };
  const auto told = [&](const std::string& messages, const std::string& part) {
    const auto text = read("{\"messages\": " + messages + "}");
    EXPECT_NE(text.find(part), text.npos) << text;
    EXPECT_NE(text.find("train.jsonl:2)"), text.npos) << text;
  };
  told("[]", "an empty one");
  told("\"hello\"", "got string");
  told("[\"hello\"]", "got string");
  told(R"([{"role": "user"}])", "\"content\" of each message; got none");
  told(R"([{"content": "a"}])", "\"role\" of each message; got none");
  told(R"([{"role": "user", "content": null}])", "got null");
  told(R"([{"role": "user", "content": [{"type": "text"}]}])", "got array");
  told(R"([{"role": "tool", "content": "a"}])", "got \"tool\"");
  told(R"([{"role": "a\nb", "content": "a"}])", "got \"a?b\"");
  told(
      R"([{"role": "assistant", "content": "a"}])",
      "got assistant as number 1");
  told(
      R"([{"role": "user", "content": "a"}, {"role": "user", "content": "b"}])",
      "got user as number 2");
  told(
      R"([{"role": "assistant", "content": "a", "tool_calls": [{}]}])",
      "got \"tool_calls\"");
  told(R"([{"role": "user", "content": "a"}], "tools": [{}])", "got \"tools\"");
  told(
      R"([{"role": "user", "content": "a"}], "text": "b")",
      "got \"text\", \"mess");
  // Of another tokenizer, whose template is not there.
  const auto file = folder.write(
      "train.jsonl", R"({"messages": [{"role": "user", "content": "a"}]})");
  EXPECT_NE(
      refusal([&] {
        read_dataset(file, tokenizer, {.tokenizer_folder = golden});
      }).find("chat template"),
      std::string::npos);
}

} // namespace tessera::tests
