// tidemark completion bash|zsh prints what makes a shell complete command lines; the shell then asks tidemark
// __complete.
#include <fmt/format.h>

#include "client/group_admin.h"
#include "tools/commands.h"
#include "tools/completion.h"
#include "tools/verbs.h"

namespace tidemark {
namespace {

// A shell waits for this with the user: better no names than late ones.
constexpr Duration kPatience = 2s;

// The rest of the line is kept by the shell; only what may stand at the cursor is asked for.
constexpr const char* kBash = R"(# tidemark's completion for bash: source <(tidemark completion bash)
_tidemark_complete() {
  # Cut at blanks alone: bash itself would cut HOST:PORT in three.
  local line=${COMP_LINE:0:COMP_POINT} words candidate
  read -ra words <<<"$line"
  case $line in *[[:blank:]]) words+=("") ;; esac
  local program=${words[0]##*/}
  program=${program%.sh}
  if [ "$program" = tidemark ]; then words=("${words[@]:1}"); else words[0]=${program#tidemark-}; fi
  # But what it replaces is only what stands behind the last of its own cuts.
  local last=${words[${#words[@]}-1]} cuts=${COMP_WORDBREAKS//[^:=]/} kept=
  if [[ -n $cuts && $last == *[$cuts]* ]]; then kept=${last%"${last##*[$cuts]}"}; fi
  COMPREPLY=()
  while IFS= read -r candidate; do COMPREPLY+=("${candidate#"$kept"}"); done < <(tidemark __complete -- "${words[@]}" 2>/dev/null)
}
complete -o default -F _tidemark_complete)";

// Works sourced, and as a file _tidemark in a folder of $fpath, which begins with "#compdef" and the names.
constexpr const char* kZsh = R"(
# tidemark's completion for zsh: source <(tidemark completion zsh)
_tidemark_complete() {
  local program=${${words[1]:t}%.sh}
  local -a line candidates
  [[ $program == tidemark ]] || line=("${program#tidemark-}")
  (( CURRENT > 2 )) && line+=("${(@Q)words[2,CURRENT-1]}")
  candidates=("${(@f)$(tidemark __complete -- "${line[@]}" "${(Q)PREFIX}" 2>/dev/null)}")
  if [[ -n ${candidates[1]} ]]; then compadd -a candidates; else _default; fi
}
if [[ ${funcstack[1]} == _tidemark ]]; then
  _tidemark_complete "$@"
else
  (( ${+functions[compdef]} )) || { autoload -Uz compinit && compinit }
  compdef _tidemark_complete)";

int RunCompletion(const Arguments& arguments) {
  const std::string& shell = arguments.positionals()[0];
  std::string names = " tidemark";
  for (const Command& command : Commands())
    names += fmt::format(" tidemark-{} tidemark-{}.sh", command.name, command.name);
  if (shell == "bash") {
    (void)Print(kBash + names + "\n");
  } else if (shell == "zsh") {
    (void)Print("#compdef" + names + kZsh + names + "\nfi\n");
  } else {
    return ReportUsage(
        {v1::INVALID_REQUEST, fmt::format("there is completion for bash and zsh, not for '{}'", shell)});
  }
  return kExitDone;
}

// To the brokers that the line names, or the default ones; null when there is no way.
std::unique_ptr<ToolSession> SessionOf(const std::vector<std::string>& words) {
  std::vector<std::string> connection;
  for (size_t i = 0; i + 1 < words.size(); ++i) {
    const std::string& word = words[i];
    const bool names_brokers =
        word == "-b" || word == "--bootstrap-server" || word == "--brokers" || word == "--zookeeper";
    if (names_brokers && i + 2 < words.size()) connection = {word, words[i + 1]};
  }
  const auto arguments = Arguments::Parse(connection, VerbConnectionFlags());
  if (!arguments) return nullptr;
  auto session = OpenSession(*arguments, {}, FirstContact::kLater);
  return session ? std::move(*session) : nullptr;
}

std::vector<std::string> LiveTopics(const std::vector<std::string>& words) {
  const auto session = SessionOf(words);
  if (session == nullptr) return {};
  v1::MetadataRequest request;
  request.set_all_topics(true);
  const auto metadata =
      session->Run([&] { return session->admin().Metadata(request, kNoBroker, session->After(kPatience)); });
  std::vector<std::string> out;
  if (!metadata) return out;
  for (const v1::TopicMetadata& topic : metadata->topics()) {
    if (!topic.internal()) out.push_back(topic.name());
  }
  return out;
}

std::vector<std::string> LiveGroups(const std::vector<std::string>& words) {
  const auto session = SessionOf(words);
  if (session == nullptr) return {};
  GroupAdmin admin(session->cluster());
  const auto listing = session->Run([&] { return admin.List({}, session->After(kPatience)); });
  std::vector<std::string> out;
  if (!listing) return out;
  for (const auto& group : listing->groups) out.push_back(group.group_id());
  return out;
}

// Parses its own words: those of an unfinished command line are nobody's flags.
int CompleteMain(int argc, char** argv) {
  std::vector<std::string> words(argv + 1, argv + argc);
  if (!words.empty() && words[0] == "--") words.erase(words.begin());
  std::string text;
  const auto candidates =
      Completions(words, [&] { return LiveTopics(words); }, [&] { return LiveGroups(words); });
  for (const std::string& word : candidates) text += word + "\n";
  (void)Print(text);
  return kExitDone;
}

}  // namespace

std::vector<Command> CompletionVerbs() {
  return {
      {.name = "completion",
       .summary = "prints the completion for a shell, with live names of topics and groups",
       .examples = {"source <(tidemark completion bash)",
                    "tidemark completion zsh > /usr/local/share/zsh/site-functions/_tidemark"},
       .positionals = {{.name = "bash|zsh", .required = true}},
       .run = RunCompletion},
      {.name = "__complete",
       .summary = "answers a shell's completion",
       .run = nullptr,
       .raw_main = CompleteMain},
  };
}

}  // namespace tidemark
