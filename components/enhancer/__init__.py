"""Cross-modal prompt enhancer: pairs, SFT, GRPO, rewards and judges. Importing it loads nothing heavy."""
