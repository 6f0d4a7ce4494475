"""The published systems on the page: their networks as drawings, their cards, their answers to pictures, their trainings."""
