"""The clinic world: chats about the patients of a small clinic, for models that are already pretrained."""
