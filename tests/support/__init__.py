"""What tests share: made-up images, files, models and stores, and commands in processes of their own."""
