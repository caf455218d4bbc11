"""Tokens and what moves them: layouts, queues, forks and merges, several events per beat."""
