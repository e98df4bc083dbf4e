//! Examples below the help of each command.

/// Of the program.
pub const PROGRAM: &str = "\
Examples:
  bimetal generate \"Once upon a time\"           continue a text with the built-in model
  bimetal chat -m Qwen/Qwen3.5-0.8B             talk with a model of the hub
  bimetal generate -m model.gguf --chat \"Why?\"  ask a GGUF file one question";

/// Of `generate`.
pub const GENERATE: &str = "\
Examples:
  bimetal generate \"Once upon a time\"
  bimetal generate -m Qwen/Qwen3.5-0.8B --chat \"What is a prime number?\"
  bimetal generate -m model.gguf -f prompt.txt -n 200 -t 0.7 --seed 1
  git diff | bimetal generate -m model.gguf --chat -f -
  bimetal generate --json \"Once\" | jq .text";

/// Of `chat`.
pub const CHAT: &str = "\
Examples:
  bimetal chat
  bimetal chat -m Qwen/Qwen3.5-0.8B --think
  bimetal chat -m model.gguf --system \"Answer in one sentence.\" \"What is a prime number?\"
  printf 'Hello\\nAnd you?\\n' | bimetal chat --quiet";

/// Of `pull`.
pub const PULL: &str = "\
Examples:
  bimetal pull Qwen/Qwen3.5-0.8B
  bimetal pull OWNER/NAME-GGUF:Q4_K_M";

/// Of `ls`.
pub const LS: &str = "\
Examples:
  bimetal ls
  bimetal ls --json | jq '.[].path'";

/// Of `rm`.
pub const RM: &str = "\
Examples:
  bimetal rm Qwen/Qwen3.5-0.8B
  bimetal rm -y Qwen/Qwen3.5-0.8B";

/// Of `devices`.
pub const DEVICES: &str = "\
Examples:
  bimetal devices
  bimetal generate --backend wgpu --device 1 \"Once\"";

/// Of `info`.
pub const INFO: &str = "\
Examples:
  bimetal info -m model.gguf
  bimetal info -m Qwen/Qwen3.5-0.8B -c 32768 --kv q8";

/// Of `quantize`.
pub const QUANTIZE: &str = "\
Examples:
  bimetal quantize Qwen/Qwen3.5-0.8B qwen-q4 --format q4
  bimetal chat -m qwen-q4";

/// Of `perplexity`.
pub const PERPLEXITY: &str = "\
Examples:
  bimetal perplexity -m model.gguf -f text.txt
  bimetal perplexity -f text.txt --window 2048 --stride 1024 --json";

/// Of `compare`.
pub const COMPARE: &str = "\
Examples:
  bimetal compare -m Qwen/Qwen3.5-0.8B --against q4 -f text.txt
  bimetal compare --against qwen-q4 -m Qwen/Qwen3.5-0.8B -f text.txt";

/// Of `bench`.
pub const BENCH: &str = "\
Examples:
  bimetal bench --shape 0.8b -p 512,4096 -n 128 -d 0,4096 -S 1,8
  bimetal bench --profile --shape 0.8b --trace step.json
  bimetal bench --plan --shape 0.8b --chip \"M4 Max\"
  bimetal bench growth --shape 0.8b --svg growth.svg";

/// Of `completions`.
pub const COMPLETIONS: &str = "\
Examples:
  bimetal completions bash >~/.local/share/bash-completion/completions/bimetal
  bimetal completions fish >~/.config/fish/completions/bimetal.fish";

/// Of `man`.
pub const MAN: &str = "\
Examples:
  bimetal man | man -l -
  bimetal man --out ~/.local/share/man/man1";
